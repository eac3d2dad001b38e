"""The deployed site's runtime over a real vault, and ``gaitkeeper site budget`` and ``privacy plan`` on top."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import tomllib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from gaitkeeper_client.agent.approval import check_approval
from gaitkeeper_client.consortium import studies as consortium_studies
from gaitkeeper_client.consortium.policy import default_policy, write_default_policy
from gaitkeeper_client.training import app as client_app
from gaitkeeper_client.training import site_round
from gaitkeeper_client.training.home_runtime import HomeRuntime, budget_cap
from gaitkeeper_client.training.refusals import LOCAL
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome, create_home, write_table
from gaitkeeper_client.vault.keys import SiteKey, create_key, unlock
from gaitkeeper_client.vault.ledger import RoundKey
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_client.vault.rotation import rotate_key
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import MESSAGE_TYPE, RoundOrder, decode_reply, encode_order, order_for
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINTS
from gaitkeeper_shared.study import Study, parse_study, study_hash
from gaitkeeper_shared.trust.audit import AuditLog

STUDY = b"""
name = "site-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["knee_flexion_left", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 4
[training]
rounds = 2
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""
HASH = study_hash(STUDY)
OFFER = consortium_studies.Offer(parse_study(STUDY), HASH, None)


def recording(seed: int) -> Recording:
    time_s = np.arange(40) / 10.0
    values = np.random.default_rng(seed).normal(size=(40, 2)).astype(np.float32)
    signals = Signals(time_s, ("knee_flexion_left", "pelvis_speed"), values)
    points = np.full((40, len(JOINTS), 2), np.nan)
    return Recording(JointTrajectories(time_s, points, "px", np.ones((40, len(JOINTS)))), (), signals)


def add(home: SiteHome, key: SiteKey, number: int, label: str) -> None:
    facts = RecordingFacts(f"{number:064x}", f"{number}.mp4", "2026-01-01T00:00:00+00:00")
    with Vault.open(home, key) as vault:
        vault.add(PatientFacts(f"patient-{number}", label), recording(number), facts)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteHome:
    place = SiteHome(tmp_path / "site")
    key = create_key(place)
    create_home(place, "north", "file")
    write_default_policy(place)
    for number in range(8):
        add(place, key, number, ("healthy", "patient", "stroke")[number % 3])

    def approved(_: SiteHome, wanted: str) -> Study:
        if wanted != HASH:
            raise GaitkeeperError("study-not-found", path=wanted)
        return parse_study(STUDY)

    # Signing has its own tests; everything behind it is real here.
    monkeypatch.setattr(consortium_studies, "approved_study", approved)
    consortium_studies.approve(place, OFFER)
    return place


def order(number: int) -> RoundOrder:
    return order_for(parse_study(STUDY), HASH, "run", number)


def weights() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return dict(ModelBundle.initial(ModelSpec.of(parse_study(STUDY), HASH)).weights)


def test_a_site_trains_on_its_vault_and_notices_new_patients(home: SiteHome) -> None:
    runtime = HomeRuntime(home)
    before = runtime.dataset(HASH, parse_study(STUDY), "run")
    assert len(before.train) + len(before.held_out) == 6  # two have a label that the study does not use
    assert runtime.dataset(HASH, parse_study(STUDY), "run") is before
    reply = run_round(runtime, order(1), weights())
    assert reply.report.status == "trained", reply.report
    assert reply.report.site == "north"
    add(home, unlock(home), 99, "healthy")
    after = runtime.dataset(HASH, parse_study(STUDY), "run")
    assert len(after.train) + len(after.held_out) == 7
    held_out = {person.pseudonym for person in before.held_out}
    assert held_out <= {person.pseudonym for person in after.held_out}


def test_patients_in_the_vaults_write_ahead_log_are_noticed(home: SiteHome) -> None:
    runtime = HomeRuntime(home)
    key = unlock(home)
    with Vault.open(home, key):  # while somebody reads, what others write stays in index.sqlite-wal
        before = runtime.dataset(HASH, parse_study(STUDY), "run")
        index = (home.vault / "index.sqlite").stat()
        add(home, key, 99, "healthy")
        assert (home.vault / "index.sqlite").stat().st_mtime_ns == index.st_mtime_ns
        after = runtime.dataset(HASH, parse_study(STUDY), "run")
    assert len(after.train) + len(after.held_out) == len(before.train) + len(before.held_out) + 1


@pytest.mark.parametrize("moment", ["while it trains", "after a kill"])
def test_an_erasure_in_the_middle_of_a_round_leaves_no_update_of_the_patient(
    home: SiteHome, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The erasure looks for kept updates before this one is kept: the round finds the erasure then."""
    runtime = HomeRuntime(home)
    train = site_round._train
    victim = runtime.dataset(HASH, parse_study(STUDY), "run").train[0].pseudonym

    def interrupted(*arguments: Any) -> Any:
        trained = train(*arguments)
        with Vault.open(home, unlock(home)) as vault:
            erase(home, vault, victim)
        return trained

    monkeypatch.setattr(site_round, "_train", interrupted)
    if moment == "after a kill":
        monkeypatch.setattr(HomeRuntime, "still_holds", kill)  # between keeping the answer and looking
        with pytest.raises(KeyboardInterrupt):
            run_round(runtime, order(1), weights())
        monkeypatch.undo()
        monkeypatch.setattr(consortium_studies, "approved_study", lambda *_: parse_study(STUDY))
        runtime = HomeRuntime(home)
        assert runtime.ledger.reply(RoundKey(HASH, "run", 1)) is not None
    answer = run_round(runtime, order(1), weights())
    assert (answer.report.status, answer.report.code, answer.weights) == ("refused", "reply-gone", None)
    with closing(sqlite3.connect(home.ledger)) as database:
        assert database.execute("SELECT count(*) FROM replies").fetchone() == (0,)
    assert any(victim in entry.patients for entry in runtime.ledger.entries)  # what was spent stays spent
    assert run_round(HomeRuntime(home), order(1), weights()).report.code == "reply-gone"
    monkeypatch.setattr(site_round, "_train", train)
    assert run_round(runtime, order(2), weights()).report.status == "trained"
    assert victim not in runtime.ledger.charged(RoundKey(HASH, "run", 2))


def test_the_last_update_of_a_run_is_not_kept_for_ever(home: SiteHome) -> None:
    runtime = HomeRuntime(home)
    assert run_round(runtime, order(1), weights()).report.status == "trained"
    asked = RoundKey(HASH, "run", 1)
    assert runtime.ledger.forget_older(datetime.now(UTC) - timedelta(minutes=5)) == 0
    assert runtime.ledger.reply(asked) is not None
    assert runtime.ledger.forget_older(datetime.now(UTC) + timedelta(minutes=5)) == 1
    assert run_round(runtime, order(1), weights()).report.code == "reply-gone"  # and never trained under that charge
    assert HomeRuntime(home).ledger.entries == runtime.ledger.entries


def kill(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_home_whose_ledger_is_gone_does_not_begin_a_new_one(home: SiteHome) -> None:
    assert run_round(HomeRuntime(home), order(1), weights()).report.status == "trained"
    home.ledger.unlink()
    home.ledger.with_name("ledger.anchor").unlink()
    with pytest.raises(GaitkeeperError) as error:
        HomeRuntime(home)
    assert error.value.code == "ledger-lost"
    assert not home.ledger.exists()


def test_a_ledger_of_before_the_seals_trains_once_it_was_sealed_and_a_rotation_keeps_the_newest_answer(
    home: SiteHome,
) -> None:
    runtime = HomeRuntime(home)
    assert run_round(runtime, order(1), weights()).report.status == "trained"
    kept = runtime.ledger.reply(RoundKey(HASH, "run", 1))
    with closing(sqlite3.connect(home.ledger)) as database, database:
        database.execute("DROP TABLE seals")
        database.execute("UPDATE replies SET body = ?, state = ?", (kept.body, kept.state))  # type: ignore[union-attr]
    with pytest.raises(GaitkeeperError, match="seal-ledger"):
        HomeRuntime(home)
    assert run("site", "budget", "--home", str(home.path)) == (4, "ledger-unsealed")
    status, output = run("site", "seal-ledger", "--home", str(home.path))
    assert (status, "sealed now" in output) == (0, True)
    assert [entry.event for entry in AuditLog(home.audit_log).entries()][-1] == "ledger-sealed"
    assert "already" in run("site", "seal-ledger", "--home", str(home.path))[1]
    rotate_key(home, unlock(home), None)
    assert HomeRuntime(home).ledger.reply(RoundKey(HASH, "run", 1)) == kept
    assert run_round(HomeRuntime(home), order(2), weights()).report.status == "trained"


def test_the_installed_client_app_answers_a_message_and_never_raises(
    home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAITKEEPER_SITE_HOME", str(home.path))
    for name in ("_run_id", "_node_id", "_task_id"):  # a message takes these from the process that it is made in
        monkeypatch.setattr(TaskIdentity, name, 1)
    context = Context(1, 2, {}, RecordDict(), {})

    def ask(content: RecordDict) -> Message:
        message = Message(content, 2, MESSAGE_TYPE)
        return client_app.app(message, context)

    good = decode_reply(ask(encode_order(order(1), weights())).content)
    assert good.report.status == "trained"
    assert good.weights is not None
    assert list(good.weights) == list(weights())
    bad = decode_reply(ask(RecordDict()).content)
    assert (bad.report.status, bad.report.code) == ("refused", "round-message-unusable")
    home.ledger.write_bytes(b"damaged" * 1000)
    client_app._runtime_at.cache_clear()
    damaged = decode_reply(ask(encode_order(order(2), weights())).content)
    assert (damaged.report.status, damaged.report.code) == ("refused", "ledger-damaged")
    assert damaged.report.message == LOCAL  # the path of the ledger stays here
    client_app._runtime_at.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    command = build_command()
    assert isinstance(command, click.Group)
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, GaitkeeperError):
        return result.exception.exit_status, result.exception.code
    return result.exit_code, result.output


def lost(_: SiteHome, wanted: str) -> Study:
    raise GaitkeeperError("study-not-offered", study=wanted[:12])


def test_budget_shows_spending_caps_and_the_price_of_the_next_study(
    home: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = HomeRuntime(home)
    for number in (1, 2):
        assert run_round(runtime, order(number), weights()).report.status == "trained"
    status, output = run("site", "budget", "--home", str(home.path))
    assert status == 0
    assert "site-test" in output
    assert "2 rounds" in output
    assert "no cap over all studies" in output
    trained = {name for entry in runtime.ledger.entries if entry.kind == "train" for name in entry.patients}
    kept_out = {name for entry in runtime.ledger.entries if entry.kind == "evaluate" for name in entry.patients}
    # A run of two rounds is all that the study allows; one of its two evaluations is left.
    assert f"{len(trained)} patients have spent what the study allows" in output
    assert "kept out: 1 evaluations" in output
    table = json.loads(run("site", "budget", "--home", str(home.path), "--json")[1])
    assert {patient["exhausted"] for patient in table["patients"]} == {None}  # no cap: nobody can be past it
    assert (table["studies"][0]["exhausted"], table["studies"][0]["known"]) == (len(trained), True)
    assert len(table["patients"]) == len(trained | kept_out)
    with monkeypatch.context() as patch:
        patch.setattr(consortium_studies, "approved_study", lost)
        table = json.loads(run("site", "budget", "--home", str(home.path), "--json")[1])
        (lost_one,) = table["studies"]
        assert (lost_one["known"], lost_one["limit"], lost_one["exhausted"]) == (False, None, 0)
        assert lost_one["epsilon"] > 4.0  # at another delta than the study's
        assert "(the study's own is not known)" in run("site", "budget", "--home", str(home.path))[1]
    study = tmp_path / "next.toml"
    study.write_bytes(STUDY.replace(b"site-test", b"next-test"))
    write_table(home, "privacy", {"epsilon_cap": 5.0, "delta": 1e-3})
    status, output = run("site", "budget", "--home", str(home.path), "--study", str(study), "--json")
    assert status == 0
    table = json.loads(output)
    assert 3.5 < table["studies"][0]["epsilon"] <= 4.0
    assert table["cap"] == {"epsilon": 5.0, "delta": 1e-3}
    assert all(patient["exhausted"] for patient in table["patients"] if patient["pseudonym"] in trained)
    assert 3.5 < table["all_studies"]["train_epsilon"] <= 4.0
    assert 0.5 < table["all_studies"]["evaluate_epsilon"] < 2.0  # one of two evaluations
    assert table["all_studies"]["delta"] == 1e-3
    assert 3.5 < table["next_study"]["epsilon"] <= 4.0
    assert 1.9 < table["next_study"]["evaluation_epsilon"] <= 2.0
    assert table["next_study"]["evaluations"] == 2
    status, output = run("site", "budget", "--home", str(home.path), "--study", str(study))
    assert status == 0
    assert "2 evaluations" in output
    assert "by all evaluations" in output


@pytest.mark.parametrize("table", [{"epsilon_cap": -1.0}, {"epsilon": 3.0}, {"epsilon_cap": 3.0, "delta": 2.0}])
def test_a_broken_cap_is_an_error_and_never_no_cap(home: SiteHome, table: dict[str, float]) -> None:
    write_table(home, "privacy", table)
    with pytest.raises(GaitkeeperError) as error:
        budget_cap(home)
    assert error.value.code == "site-config-damaged"
    assert run_round(HomeRuntime(home), order(1), weights()).report.code == "site-config-damaged"


def test_privacy_plan_goes_there_and_back(tmp_path: Path) -> None:
    public = ("--delta", "1e-3", "--sample-rate", "0.5", "--rounds", "10")
    status, output = run("privacy", "plan", "--epsilon", "4", *public, "--json")
    assert status == 0
    there = json.loads(output)
    assert 3.9 < there["epsilon"] <= 4.0 < there["epsilon_rdp"]
    _, output = run("privacy", "plan", "--noise", str(there["noise_multiplier"]), *public, "--json")
    assert json.loads(output)["epsilon"] == there["epsilon"]
    study = tmp_path / "study.toml"
    study.write_bytes(STUDY)
    status, output = run("privacy", "plan", str(study))
    assert status == 0
    assert "2 steps" in output
    assert "2 evaluations" in output
    _, output = run("privacy", "plan", str(study), "--rounds", "4", "--json")
    judged = json.loads(output)["evaluation"]
    assert judged["evaluations"] == 4
    assert 1.9 < judged["epsilon"] <= 2.0
    assert judged["count_noise_std"] > 1.0
    assert run("privacy", "plan", "--epsilon", "4") == (2, "privacy-option-missing")
    assert run("privacy", "plan", "--epsilon", "4", "--delta", "7", *public[2:]) == (2, "privacy-option-bad")


def _set_rule(home: SiteHome, table: str, key: str, value: object) -> None:
    content = tomllib.loads(default_policy().decode())
    content[table][key] = value
    home.policy_file.write_text(tomli_w.dumps(content))


@pytest.mark.parametrize(("key", "value"), [("max_rounds", 0), ("max_local_epsilon", 1.0), ("allowed", ["0" * 64])])
def test_the_policy_refuses_before_anything_is_charged(home: SiteHome, key: str, value: object) -> None:
    _set_rule(home, "studies", key, value)
    runtime = HomeRuntime(home)
    reply = run_round(runtime, order(1), weights())
    assert (reply.report.status, reply.report.code) == ("refused", "policy-refuses")
    assert f"studies.{key}" in reply.report.message  # the coordinator is told which rule
    assert not runtime.ledger.entries
    assert [entry.event for entry in AuditLog(home.audit_log).entries()][-1] == "round-refused"
    _set_rule(home, "studies", "max_rounds", 2)  # a change counts at once
    assert run_round(runtime, order(1), weights()).report.status == "trained"


def test_without_a_policy_a_site_trains_nothing(home: SiteHome) -> None:
    home.policy_file.unlink()
    runtime = HomeRuntime(home)
    assert run_round(runtime, order(1), weights()).report.code == "policy-missing"
    assert not runtime.ledger.entries


def test_a_round_never_tells_how_many_patients_there_are(home: SiteHome) -> None:
    _set_rule(home, "studies", "min_patients", 7)  # six fit
    assert run_round(HomeRuntime(home), order(1), weights()).report.status == "trained"


def test_counts_that_may_not_leave_are_of_nobody(home: SiteHome) -> None:
    study = parse_study(STUDY)
    study = dataclasses.replace(study, evaluation=dataclasses.replace(study.evaluation, holdout=0.99))
    assert HomeRuntime(home).dataset(HASH, study, "run").held_out
    _set_rule(home, "metrics", "may_leave", False)
    assert HomeRuntime(home).dataset(HASH, study, "run").held_out == ()


def test_counts_of_too_few_do_not_leave_and_a_person_decides_that_not_a_round(home: SiteHome) -> None:
    study = parse_study(STUDY)
    study = dataclasses.replace(study, evaluation=dataclasses.replace(study.evaluation, holdout=0.99))
    offer = dataclasses.replace(OFFER, study=study)
    held_out = len(HomeRuntime(home).dataset(HASH, study, "run").held_out)
    _set_rule(home, "metrics", "min_patients", held_out)
    assert check_approval(home, lambda: unlock(home), offer)
    _set_rule(home, "metrics", "min_patients", held_out + 1)
    assert HomeRuntime(home).dataset(HASH, study, "run").held_out  # approved before the rule was changed
    assert not check_approval(home, lambda: unlock(home), offer)
    consortium_studies.withdraw(home, offer)
    consortium_studies.approve(home, offer, counts_leave=False)
    assert HomeRuntime(home).dataset(HASH, study, "run").held_out == ()
    add(home, unlock(home), 99, "healthy")  # one more patient turns nothing
    assert HomeRuntime(home).dataset(HASH, study, "run").held_out == ()
    _set_rule(home, "studies", "min_patients", 8)
    with pytest.raises(GaitkeeperError) as refusal:
        check_approval(home, lambda: unlock(home), offer)
    assert refusal.value.code == "policy-refuses"
