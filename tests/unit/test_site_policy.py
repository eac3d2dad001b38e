"""The site's policy: default deny, each rule with its refusal, nothing unknown overlooked."""

from __future__ import annotations

import contextlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.consortium.policy import default_policy, in_plain_words, load_policy, write_default_policy
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study import Study, parse_study, study_hash

STUDY_TEXT = b"""
name = "walks"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left"]
[training]
rounds = 20
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
[evaluation]
epsilon = 1.0
"""
STUDY: Study = parse_study(STUDY_TEXT)
HASH = study_hash(STUDY_TEXT)
NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def with_rule(folder: Path, table: str, key: str, value: object) -> SiteHome:
    home = SiteHome(folder)
    content = tomllib.loads(default_policy().decode())
    content[table][key] = value
    home.policy_file.write_text(tomli_w.dumps(content))
    return home


def refused(call: object, rule: str) -> None:
    with pytest.raises(GaitkeeperError) as error:
        call()  # type: ignore[operator]
    assert error.value.code == "policy-refuses"
    assert f"rule {rule}," in error.value.message


def test_the_default_policy_is_read_and_allows_an_approved_study(tmp_path: Path) -> None:
    home = SiteHome(tmp_path)
    write_default_policy(home)
    policy = load_policy(home)
    policy.check_study(STUDY, HASH)
    policy.check_coordinator("f" * 64, STUDY)
    policy.check_hours(NOON, STUDY)
    policy.check_patients(0, STUDY)
    assert policy.counts_may_leave(0)
    assert len(in_plain_words(policy)) == 7
    home.policy_file.write_text("mine")
    write_default_policy(home)
    assert home.policy_file.read_text() == "mine"


def test_without_a_policy_nothing_is_trained(tmp_path: Path) -> None:
    with pytest.raises(GaitkeeperError) as error:
        load_policy(SiteHome(tmp_path))
    assert error.value.code == "policy-missing"


@pytest.mark.parametrize(
    ("key", "low", "enough"),
    [
        ("max_rounds", 19, 20),
        ("max_epsilon", 3.9, 4.0),
        ("max_delta", 1e-4, 1e-3),
        ("allowed", ["0" * 64], [HASH]),
        ("max_local_epsilon", 3.0, 4.0),
        ("require_secure", True, False),
    ],
)
def test_each_limit_of_a_study_holds(tmp_path: Path, key: str, low: object, enough: object) -> None:
    load_policy(with_rule(tmp_path, "studies", key, enough)).check_study(STUDY, HASH)
    policy = load_policy(with_rule(tmp_path, "studies", key, low))
    refused(lambda: policy.check_study(STUDY, HASH), f"studies.{key}")


def test_other_coordinators_are_refused(tmp_path: Path) -> None:
    policy = load_policy(with_rule(tmp_path, "coordinators", "allowed", ["a" * 64]))
    policy.check_coordinator("a" * 64, STUDY)
    refused(lambda: policy.check_coordinator("b" * 64, STUDY), "coordinators.allowed")


def test_too_few_patients_are_refused_without_their_number(tmp_path: Path) -> None:
    policy = load_policy(with_rule(tmp_path, "studies", "min_patients", 17))
    policy.check_patients(17, STUDY)
    with pytest.raises(GaitkeeperError) as error:
        policy.check_patients(16, STUDY)
    assert "16" not in str(error.value)
    assert "17" not in str(error.value)


@given(minute=st.integers(0, 24 * 60 - 1))
@settings(max_examples=60, deadline=None)
def test_hours_over_midnight_are_the_complement_of_the_day(
    tmp_path_factory: pytest.TempPathFactory, minute: int
) -> None:
    night = _hours(tmp_path_factory.mktemp("p"), "20:00", "06:00")
    day = _hours(tmp_path_factory.mktemp("p"), "06:00", "20:00")
    now = datetime(2026, 1, 15, minute // 60, minute % 60, tzinfo=UTC)
    assert night.hours is not None
    assert day.hours is not None
    assert day.hours.allow(now) == (6 * 60 <= minute < 20 * 60)
    assert night.hours.allow(now) != day.hours.allow(now)


def test_outside_of_the_hours_training_is_refused(tmp_path: Path) -> None:
    policy = _hours(tmp_path, "20:00", "06:00")
    refused(lambda: policy.check_hours(NOON, STUDY), "hours")


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("studies", "max_round", 3),  # a key with a slip of the pen is not a limit that nobody looks at
        ("studies", "max_rounds", -1),
        ("studies", "max_rounds", True),
        ("studies", "max_epsilon", float("nan")),
        ("studies", "max_epsilon", float("inf")),
        ("studies", "allowed", "all"),
        ("studies", "allowed", [HASH[:12]]),
        ("coordinators", "allowed", "any"),
        ("hours", "from", "20:00"),
        ("hours", "until", "late"),
        ("metrics", "may_leave", "no"),
        ("metrics", "min_patients", -1),
        ("metrics", "least", 5),
        ("studies", "require_secure", 1),
    ],
)
def test_a_policy_that_is_not_understood_allows_nothing(tmp_path: Path, table: str, key: str, value: object) -> None:
    with pytest.raises(GaitkeeperError) as error:
        load_policy(with_rule(tmp_path, table, key, value))
    assert error.value.code == "policy-damaged"


@given(data=st.binary(max_size=200), cut=st.integers(0, 2000))
@settings(max_examples=80, deadline=None)
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int) -> None:
    home = SiteHome(tmp_path_factory.mktemp("p"))
    for content in (data, default_policy()[:cut], default_policy()[:cut] + data):
        home.policy_file.write_bytes(content)
        if content.startswith(default_policy()):
            continue
        with contextlib.suppress(GaitkeeperError):  # any other error would end the test
            load_policy(home)


def _hours(folder: Path, start: str, end: str):  # type: ignore[no-untyped-def]
    content = tomllib.loads(default_policy().decode())
    content["hours"] = {"from": start, "until": end, "zone": "UTC"}
    home = SiteHome(folder)
    home.policy_file.write_text(tomli_w.dumps(content))
    return load_policy(home)


@pytest.mark.parametrize("side", ["site", "coordinator"])
def test_the_help_says_which_folder_is_taken(side: str) -> None:
    """Text in square brackets is markup to the help's printer, which swallows it."""
    shown = CliRunner().invoke(build_command(), [side, "doctor", "--help"], terminal_width=200)
    assert f"GAITKEEPER_{side.upper()}_HOME" in shown.output
