"""A small study and a site whose people lie in memory; ledger, noise and training are real."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaitkeeper_client.training.dataset import Person, SiteDataset
from gaitkeeper_client.vault.ledger import Ledger
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, order_for
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.study import Study, parse_study, study_hash

STUDY = b"""
name = "round-test"
[task]
labels = ["healthy", "patient"]
map = { control = "healthy" }
[input]
channels = ["knee_flexion_left", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 4
[training]
rounds = 3
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
[evaluation]
holdout = 0.25
epsilon = 2.0
"""


def people(count: int, prefix: str) -> tuple[Person, ...]:
    generator = np.random.default_rng(1)
    return tuple(
        Person(f"{prefix}{i}", i % 2, generator.normal(size=(3, 10, 2)).astype(np.float32)) for i in range(count)
    )


@dataclass
class Site:
    """A site whose people lie in memory; everything else is real."""

    ledger: Ledger
    data: bytes = STUDY
    site: str = "north"
    cap: Budget | None = None
    allows_no_privacy: bool = False
    erased: frozenset[str] = frozenset()
    people: SiteDataset = field(default_factory=lambda: SiteDataset(people(6, "t"), people(2, "h")))

    def approved_study(self, hash_: str) -> Study:
        if hash_ != study_hash(self.data):
            raise GaitkeeperError("study-not-found", path=hash_)
        return parse_study(self.data)

    def dataset(self, study_hash: str, study: Study, run: str) -> SiteDataset:
        return self.people

    def still_holds(self, people: Collection[str]) -> bool:
        return self.erased.isdisjoint(people)

    def order(self, number: int, run: str = "r1", **changes: Any) -> RoundOrder:
        """The order that the study foresees for a round, or another one."""
        order = order_for(parse_study(self.data), study_hash(self.data), run, number)
        return dataclasses.replace(order, **changes)

    def model(self) -> ModelBundle:
        return ModelBundle.initial(ModelSpec.of(parse_study(self.data), study_hash(self.data)))
