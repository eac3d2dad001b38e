"""What a rehearsal needs of an installed client, so that the server imports nothing of it.

The coordinator's side plans a rehearsal (who is at which site, who is trained on in which run) and scores it; the
client's side reads the recordings and brings the ClientApp. They meet here: typed values, and a Protocol that the entry
point group ``gaitkeeper.rehearsal`` fulfils.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp

ENTRY_POINT_GROUP = "gaitkeeper.rehearsal"
ROLL_CALL = "query"
"""Flower message type by which a simulated node is asked for its name: the simulation gives nodes numbers only."""
ROLL_RECORD, ROLL_KEY = "roll", "site"


@dataclass(frozen=True, slots=True)
class RehearsalPerson:
    """One person of a cohort. ``site``: the cohort's own column, empty without one; ``windows``: (N, T, C), N >= 1."""

    person: str
    site: str
    class_index: int
    windows: Float32Array


@dataclass(frozen=True, slots=True)
class RehearsalCohort:
    """The people whom the study can use, in order of their names, and why the others are left out."""

    people: tuple[RehearsalPerson, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RehearsalRun:
    """One run: its name, its study's bytes, and the people trained on. Every run is a study of its own, so that one
    run's price does not count against the next one's."""

    name: str
    study: bytes
    people: frozenset[str]


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """Who is at which site (people by site, in the order of the simulated nodes), and which runs there are."""

    sites: Mapping[str, tuple[RehearsalPerson, ...]]
    runs: tuple[RehearsalRun, ...]


class SiteTrainer(Protocol):
    """One site's training in one run, without messages, ledger and journal; keeps its momentum between rounds."""

    def __call__(self, weights: Weights) -> Weights:
        """What the site's private steps make of ``weights`` in the next round."""
        ...


class RehearsalProvider(Protocol):
    """The client's part of a rehearsal."""

    def load(self, cohort: Path, study: Study, on_progress: Callable[[int, int], None]) -> RehearsalCohort:
        """Read a cohort's recordings. ``on_progress``: recordings done and in all. Raises catalogue errors (exit 2)."""
        ...

    def client_app(self, plan: RehearsalPlan, folder: Path) -> ClientApp:
        """The same ClientApp as at a clinic over ``plan``; what its processes need goes into the private ``folder``."""
        ...

    def trainer(self, study: bytes, people: Sequence[RehearsalPerson]) -> SiteTrainer:
        """A clinic's training code alone, over ``people``: for repetitions with other noise."""
        ...
