"""A round that is asked for again after a kill: who reaches the training, and what is charged for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_fixtures import STUDY, Site

from gaitkeeper_client.training import dpsgd
from gaitkeeper_client.training.dataset import Person, SiteDataset
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey
from gaitkeeper_shared.federation import RoundReply
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import parse_study, study_hash


def people(*names: str) -> tuple[Person, ...]:
    return tuple(Person(name, len(name) % 2, np.ones((1, 10, 2), dtype=np.float32)) for name in names)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Ledger(tmp_path / "ledger.sqlite"), people=SiteDataset(people("a", "bb"), people("h", "hh")))


@dataclass
class Seen:
    """Who was trained on and who judged, in each attempt."""

    trained: list[set[str]]
    judged: list[set[str]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    result = Seen([], [])
    train, judge = dpsgd.train_private, dpsgd.correct_people

    def training(model: Any, group: tuple[Person, ...], *rest: Any) -> Any:
        result.trained.append({p.pseudonym for p in group})
        return train(model, group, *rest)

    def judging(model: Any, group: tuple[Person, ...]) -> int:
        result.judged.append({p.pseudonym for p in group})
        return judge(model, group)

    monkeypatch.setattr(dpsgd, "train_private", training)
    monkeypatch.setattr(dpsgd, "correct_people", judging)
    return result


def ask(site: Site, number: int) -> RoundReply:
    return run_round(site, site.order(number), site.model().weights)


class Killed(BaseException):
    """The end of the process, as far as a test in the same process can have it."""


@contextmanager
def killed_before_the_reply_is_kept(site: Site) -> Iterator[None]:
    def kill(*_: object) -> None:
        raise Killed

    site.ledger.store_reply = kill  # type: ignore[method-assign,assignment]
    with pytest.raises(Killed):
        yield
    site.ledger = Ledger(site.ledger.path)


def charged(site: Site, number: int, kind: str) -> set[str]:
    entries = [e for e in site.ledger.entries if e.key.round == number and e.kind == kind]
    assert len(entries) == 1
    return set(entries[0].patients)


def test_the_last_round_is_trained_again_on_everybody(site: Site, seen: Seen) -> None:
    site.people = SiteDataset(people("a", "bb", "c"), people("h", "hh"))
    site.cap = Budget(4.0, 1e-3)  # the study's own price: nothing is left after its last round
    for number in (1, 2):
        assert ask(site, number).report.status == "trained"
    with killed_before_the_reply_is_kept(site):
        ask(site, 3)
    spent = site.ledger.spent("a")
    reply = ask(site, 3)
    assert reply.report.status == "trained", reply.report
    assert reply.weights is not None
    assert seen.trained == [{"a", "bb", "c"}] * 4
    assert seen.judged == [{"h", "hh"}] * 3
    assert site.ledger.spent("a") == spent
    assert len(spent) == 3


def test_who_came_after_the_charge_is_not_trained_on(site: Site, seen: Seen) -> None:
    site.people = SiteDataset(people("a", "bb", "gone"), people("h"))
    with killed_before_the_reply_is_kept(site):
        ask(site, 2)
    site.people = SiteDataset(people("a", "bb", "new"), people("h", "new-h"))
    assert ask(site, 2).report.status == "trained"
    assert seen.trained == [{"a", "bb", "gone"}, {"a", "bb"}]
    assert seen.judged == [{"h"}, {"h"}]
    assert charged(site, 2, "train") == {"a", "bb", "gone"}
    assert charged(site, 2, "evaluate") == {"h"}
    assert ask(site, 3).report.status == "trained"
    assert seen.trained[-1] == {"a", "bb", "new"} == charged(site, 3, "train")


def test_a_charged_evaluation_pays_for_no_training(site: Site, seen: Seen) -> None:
    site.people = SiteDataset(people("a", "bb"), people("h"))
    prices = plan(parse_study(STUDY))
    assert prices.evaluate is not None
    only = Charge("evaluate", ("h",), prices.evaluate, prices.evaluate_budget)
    site.ledger.charge(RoundKey(study_hash(STUDY), "r1", 2), [only])
    assert ask(site, 2).report.status == "trained"
    assert charged(site, 2, "train") == {"a", "bb"} == seen.trained[-1]
    assert charged(site, 2, "evaluate") == {"h"}


def test_whoever_is_trained_on_was_charged_for_it(site: Site, seen: Seen) -> None:
    """Kills in every round, people coming and going all the time."""
    site.people = SiteDataset((), ())
    for number in (1, 2, 3):
        site.people = SiteDataset(people("a", f"early-{number}"), people("h"))
        with killed_before_the_reply_is_kept(site):
            ask(site, number)
        site.people = SiteDataset(people("a", f"late-{number}"), people("h", f"late-h-{number}"))
        assert ask(site, number).report.status == "trained"
        assert all(group <= charged(site, number, "train") for group in seen.trained[-2:])
        assert seen.trained[-1] == {"a"}
