"""A site's round: charged first, answered once, refusing with reasons, evaluating in noised counts only."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from training_fixtures import STUDY, Site, people

from gaitkeeper_client.training.dataset import SiteDataset, is_held_out, person_of, split
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.ledger import Ledger
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.study import parse_study


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Ledger(tmp_path / "ledger.sqlite"))


def test_a_whole_run_stays_within_its_budget(site: Site) -> None:
    weights = site.model().weights
    spent = []
    for number in (1, 2, 3):
        reply = run_round(site, site.order(number), weights)
        assert reply.report.status == "trained", reply.report
        assert reply.weights is not None
        assert list(reply.weights) == list(weights)
        spent.append(reply.report.epsilon_spent)
        weights = reply.weights
    last = run_round(site, site.order(4), weights)
    assert last.report.status == "evaluated"
    assert last.weights is None
    assert set(last.metrics) == {"evaluated", "correct", "noise_std"}
    assert spent == sorted(spent)
    assert 0.9 * 4.0 < spent[-1] <= 4.0
    kinds = [entry.kind for entry in site.ledger.entries if entry.kind != "reply"]
    assert kinds.count("train") == 3
    assert kinds.count("evaluate") == 3


def test_the_same_round_is_answered_with_the_same_bytes_and_charged_once(site: Site) -> None:
    first = run_round(site, site.order(1), site.model().weights)
    entries = site.ledger.entries
    other = {name: array + 1 for name, array in site.model().weights.items()}
    restarted = Site(Ledger(site.ledger.path))
    again = run_round(restarted, site.order(1), other)
    assert again.report == first.report
    assert first.report.seconds == 0.0  # how long it took depends on how many patients were drawn
    assert first.weights is not None
    assert again.weights is not None
    for name, array in first.weights.items():
        assert np.array_equal(array, again.weights[name])
    assert restarted.ledger.entries == entries


def test_a_charge_whose_reply_was_never_kept_is_trained_again_without_a_second_charge(site: Site) -> None:
    def fail(*_: object) -> None:
        raise GaitkeeperError("disk-full", path="here", detail="no space")

    real = site.ledger.store_reply
    site.ledger.store_reply = fail  # type: ignore[assignment,method-assign]
    assert run_round(site, site.order(1), site.model().weights).report.code == "disk-full"
    charged = site.ledger.entries
    assert [entry.kind for entry in charged] == ["train"]
    site.ledger.store_reply = real  # type: ignore[method-assign]
    assert run_round(site, site.order(1), site.model().weights).report.status == "trained"
    assert [entry.kind for entry in site.ledger.entries] == ["train", "reply"]


def test_a_second_run_of_the_study_is_refused_when_the_budget_is_spent(site: Site) -> None:
    for number in (1, 2, 3):
        run_round(site, site.order(number), site.model().weights)
    reply = run_round(site, site.order(1, run="r2"), site.model().weights)
    assert (reply.report.status, reply.report.code) == ("refused", "budget-spent")
    assert reply.weights is None


def test_at_the_cap_every_site_refuses_alike_with_patients_or_without(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = Site(Ledger(tmp_path / "empty" / "ledger.sqlite"), people=SiteDataset((), ()))
    reports = []
    for place in (site, empty):
        place.cap = Budget(3.5, 1e-3)
        reports.append([run_round(place, place.order(number), place.model().weights).report for number in (1, 2, 3)])
    assert [report.code for report in reports[0]] == ["", "", "budget-cap"]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"number": 4, "train": True}, "round-refused"),
        ({"number": 5}, "round-refused"),
        ({"number": 0}, "round-refused"),
        ({"number": 1, "evaluate": True}, "round-refused"),
        ({"number": 2, "train": False}, "round-refused"),
        ({"number": 2, "evaluate": False}, "round-refused"),
        ({"number": 2, "train": False, "evaluate": False}, "round-refused"),
        ({"number": 1, "run": ""}, "round-refused"),
    ],
)
def test_what_the_study_does_not_foresee_is_refused(site: Site, order: dict[str, object], code: str) -> None:
    reply = run_round(site, site.order(**order), site.model().weights)  # type: ignore[arg-type]
    assert (reply.report.status, reply.report.code) == ("refused", code)
    assert site.ledger.entries == ()


def test_unknown_studies_and_wrong_weights_cost_nothing(site: Site) -> None:
    order = RoundOrder("f" * 64, "r", 1, True, False)
    assert run_round(site, order, site.model().weights).report.code == "study-not-found"
    broken = {name: array[:1] for name, array in site.model().weights.items()}
    assert run_round(site, site.order(1), broken).report.code == "model-damaged"
    infinite = {name: array * np.float32(np.inf) for name, array in site.model().weights.items()}
    assert run_round(site, site.order(1), infinite).report.code == "model-damaged"
    assert site.ledger.entries == ()


def test_no_privacy_only_in_a_rehearsal(site: Site) -> None:
    site.data = STUDY.replace(b"epsilon = 4.0", b"epsilon = inf")
    assert run_round(site, site.order(1), site.model().weights).report.code == "privacy-switched-off"
    site.allows_no_privacy = True
    reply = run_round(site, site.order(1), site.model().weights)
    assert reply.report.status == "trained"
    assert math.isinf(reply.report.epsilon_spent)


def test_a_site_without_patients_answers_like_any_other(site: Site) -> None:
    site.people = SiteDataset((), ())
    reply = run_round(site, site.order(2), site.model().weights)
    assert reply.report.status == "trained"
    assert reply.weights is not None
    assert not np.array_equal(reply.weights["head.bias"], site.model().weights["head.bias"])


def test_held_out_people_depend_on_the_key_and_on_themselves_only() -> None:
    names = [f"p{i}" for i in range(4000)]
    kept = {name for name in names if is_held_out(name, 0.25, b"key" * 11)}
    assert len(kept) == pytest.approx(1000, abs=120)
    assert kept != {name for name in names if is_held_out(name, 0.25, b"yek" * 11)}
    assert kept <= {name for name in names if is_held_out(name, 0.5, b"key" * 11)}
    study = parse_study(STUDY)
    group = people(20, "p")
    whole, fewer = split(group, study, b"k" * 32), split(group[:10], study, b"k" * 32)
    assert {person.pseudonym for person in fewer.train} <= {person.pseudonym for person in whole.train}
    assert not {p.pseudonym for p in whole.train} & {p.pseudonym for p in whole.held_out}


def test_only_people_whom_the_study_can_use_become_persons() -> None:
    study = parse_study(STUDY)
    time_s = np.arange(30) / 10.0
    signals = Signals(time_s, ("knee_flexion_left", "pelvis_speed"), np.ones((30, 2), dtype=np.float32))
    assert person_of("a", "stroke", [signals], study) is None
    assert person_of("a", None, [signals], study) is None
    assert person_of("a", "control", [], study) is None
    person = person_of("a", "control", [signals], study)
    assert person is not None
    assert person.class_index == 0
    assert person.windows.shape[1:] == (10, 2)
