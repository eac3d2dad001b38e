"""Distributed noise: each site's share, what the sum costs, what a share alone would, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget, Spend, epsilon
from gaitkeeper_shared.privacy.plan import local_epsilon, plan
from gaitkeeper_shared.study import parse_study

STUDY = """
name = "shares"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left"]
[training]
rounds = 10
[privacy]
epsilon = 6.0
delta = 1e-3
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
{privacy}
[federation]
{federation}
"""


def study_of(privacy: str = "", federation: str = "quorum = 5") -> str:
    return STUDY.format(privacy=privacy, federation=federation)


@pytest.mark.parametrize(("quorum", "colluding"), [(3, 1), (5, 1), (5, 3)])
def test_the_honest_sites_shares_make_the_promised_noise(quorum: int, colluding: int) -> None:
    text = study_of(f'trust = "distributed"\ncolluding = {colluding}', f"quorum = {quorum}")
    prices = plan(parse_study(text.encode()))
    local = plan(parse_study(study_of().encode()))

    assert prices.train == local.train
    assert prices.train is not None
    variance = (quorum - colluding) * prices.site_noise_multiplier**2
    assert math.sqrt(variance) == pytest.approx(prices.train.noise_multiplier)


def test_a_share_alone_protects_less_than_the_sum() -> None:
    study = parse_study(study_of('trust = "distributed"').encode())
    prices = plan(study)
    assert prices.train is not None

    promised = epsilon([prices.train] * study.training.rounds, study.privacy.delta)

    assert promised <= study.privacy.epsilon
    assert local_epsilon(study, prices) > 1.5 * promised
    trusting = parse_study(study_of().encode())
    assert local_epsilon(trusting, plan(trusting)) == pytest.approx(promised)


@pytest.mark.parametrize(
    ("federation", "secure"),
    [("quorum = 2", False), ("quorum = 3", True), ('quorum = 3\naggregation = "plain"', False)],
)
def test_aggregation_is_secure_from_three_sites_on(federation: str, secure: bool) -> None:
    assert parse_study(study_of(federation=federation).encode()).federation.secure is secure


@pytest.mark.parametrize(
    ("privacy", "federation", "key"),
    [
        ('trust = "distributed"', 'quorum = 5\naggregation = "plain"', "privacy.trust"),
        ('trust = "distributed"', "quorum = 2", "privacy.trust"),
        ("colluding = 2", 'quorum = 3\naggregation = "secure"', "federation.quorum"),
        ("", 'quorum = 2\naggregation = "secure"', "federation.quorum"),
        ("colluding = -1", "quorum = 3", "privacy.colluding"),
        ('trust = "distributed"\ncolluding = 0', "quorum = 3", "privacy.colluding"),
        ("", "quorum = 3\nthreshold = 4", "federation.threshold"),
        ("", "quorum = 3\nthreshold = 1", "federation.threshold"),
        ("", "quorum = 3\nstage_deadline_s = 0", "federation.stage_deadline_s"),
    ],
)
def test_what_would_not_hold_is_refused(privacy: str, federation: str, key: str) -> None:
    with pytest.raises(GaitkeeperError) as caught:
        parse_study(study_of(privacy, federation).encode())
    assert caught.value.code in ("study-bad-value",)
    assert key in caught.value.message


def test_several_private_steps_a_round_do_not_go_with_shares_of_noise() -> None:
    text = study_of('trust = "distributed"').replace("rounds = 10", "rounds = 10\nlocal_steps = 2")
    with pytest.raises(GaitkeeperError, match="local_steps"):
        parse_study(text.encode())


def test_privacy_plan_says_both_prices(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(study_of('trust = "distributed"'), "utf-8")

    done = CliRunner().invoke(build_command(), ["privacy", "plan", str(path), "--json"])
    told = json.loads(done.stdout)

    assert told["epsilon"] <= 6.0
    assert told["distributed"]["honest_sites"] == 4
    assert told["distributed"]["site_noise_multiplier"] == pytest.approx(told["noise_multiplier"] / 2)
    assert told["distributed"]["epsilon_local"] > told["epsilon"]


def test_the_ledger_charges_the_promise_and_records_the_local_price(tmp_path: Path) -> None:
    budget = Budget(8.0, 1e-3)
    promised, alone = Spend(2.0, 0.5, 1), Spend(1.0, 0.5, 1)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in (1, 2):
        key = RoundKey("s", "r", number)
        charge = Charge("train", ("p",), promised, budget, alone)
        assert ledger.charge(key, [charge]) == {"train": frozenset({"p"})}
        assert ledger.charge(key, [charge]) == {"train": frozenset({"p"})}

    reopened = Ledger(tmp_path / "ledger.sqlite")

    assert reopened.spent("p") == (promised, promised)
    assert reopened.study_epsilon("s", 1e-3) == epsilon([promised] * 2, 1e-3)
    assert reopened.study_epsilon("s", 1e-3, local=True) == epsilon([alone] * 2, 1e-3)
    assert reopened.patients() == ("p",)
