"""Consent, erasure and retention: what a patient decides holds at once, and leaves nothing behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from vault_fixtures import everything, facts_of, kill_at, lines_of, make_recording, make_site, someone

from gaitkeeper_client.consortium.policy import write_default_policy
from gaitkeeper_client.consortium.studies import Offer, approve
from gaitkeeper_client.training.home_runtime import HomeRuntime
from gaitkeeper_client.vault.consent import Consent, parse_purposes, words_for
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome, write_table
from gaitkeeper_client.vault.ingest import Source, ingest
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.ledger import open_ledger
from gaitkeeper_client.vault.records import RecordingFacts
from gaitkeeper_client.vault.retention import apply_retention, retention_policy
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_client.vault.workers import Job, JobResult, Refusal
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import encode_recording
from gaitkeeper_shared.study import parse_study
from gaitkeeper_shared.trust.audit import AuditLog

STUDY = b"""
name = "consent-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["knee_flexion_left"]
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
APPROVED = "0" * 64


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, SiteKey]:
    home, key = make_site(tmp_path / "site")
    write_default_policy(home)
    with Vault.open(home, key) as vault:
        for number in range(3):
            vault.add(someone(f"patient-{number}"), make_recording(number), facts_of(number))
    approve(home, Offer(parse_study(STUDY), APPROVED, None))
    return home, key


def run(home: SiteHome, *arguments: str) -> tuple[int, str]:
    command = build_command()
    assert isinstance(command, click.Group)
    result = CliRunner().invoke(command, ["site", *arguments, "--home", str(home.path)])
    if isinstance(result.exception, GaitkeeperError):
        return result.exception.exit_status, result.exception.code
    return result.exit_code, result.output


def in_training(home: SiteHome) -> set[str]:
    dataset = HomeRuntime(home).dataset(APPROVED, parse_study(STUDY), "run")
    return {person.pseudonym for person in (*dataset.train, *dataset.held_out)}


@pytest.mark.parametrize("text", ["care", "training", "care+training", "none", "Training; care"])
def test_purposes_go_there_and_back(text: str) -> None:
    assert parse_purposes(words_for(parse_purposes(text))) == parse_purposes(text)


@pytest.mark.parametrize("text", ["", "research", "care none", "none+none"])
def test_unknown_purposes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="consent"):
        parse_purposes(text)


def test_a_withdrawal_is_out_of_the_next_round_and_no_list_gives_it_back(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    runtime = HomeRuntime(home)
    assert len(in_training(home)) == 3
    runtime.dataset(APPROVED, parse_study(STUDY), "run")
    status, output = run(home, "consent", "patient-1", "--withdraw", "training", "--json")
    assert (status, json.loads(output)["allows"]) == (0, ["care"])
    pseudonym = json.loads(output)["pseudonym"]
    again = runtime.dataset(APPROVED, parse_study(STUDY), "run")  # the very runtime that had cached them
    assert pseudonym not in {person.pseudonym for person in (*again.train, *again.held_out)}
    with Vault.open(home, key) as vault:
        claims = someone("patient-1", consent=Consent(frozenset({"care", "training"})))
        with pytest.raises(GaitkeeperError) as caught:
            vault.add(claims, make_recording(9), facts_of(9))
        assert caught.value.code == "consent-withdrawn"
        vault.add(claims, make_recording(9), facts_of(9), update=True)
        assert vault.named(pseudonym).purposes == {"care"}
    assert run(home, "consent", pseudonym, "--give", "training")[0] == 0
    assert pseudonym in in_training(home)
    events = [entry.event for entry in AuditLog(home.audit_log).entries()]
    assert events.count("consent-changed") == 2
    assert "vault-read" in events


def test_the_sites_policy_speaks_for_those_who_said_nothing(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone("asked", consent=Consent(frozenset({"training"}))), make_recording(7), facts_of(7))
        asked = vault.named("asked").pseudonym
    assert len(in_training(home)) == 4
    write_table(home, "consent", {"unless_said": "care"})
    assert in_training(home) == {asked}
    write_table(home, "consent", {"unless_said": "whatever"})
    with pytest.raises(GaitkeeperError) as caught:
        Vault.open(home, key)
    assert caught.value.code == "site-config-damaged"


def test_the_consent_command_says_what_it_cannot_do(site: tuple[SiteHome, SiteKey]) -> None:
    home, _ = site
    assert run(home, "consent", "patient-1") == (2, "consent-nothing-said")
    assert run(home, "consent", "patient-1", "--give", "care", "--withdraw", "care") == (2, "consent-nothing-said")
    assert run(home, "consent", "patient-1", "--withdraw", "fun") == (2, "consent-bad-purpose")
    assert run(home, "consent", "nobody", "--show") == (2, "vault-no-such-patient")
    assert run(home, "consent", "patient-1", "--show")[1].strip().endswith("care+training")


def test_erasure_leaves_nothing_and_the_same_patient_is_charged_on(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as reader:  # an open reader keeps a write-ahead log
        row = reader.row(reader.named("patient-1").pseudonym)
        record = reader.index.recordings(row.pseudonym)[0]
        sealed = reader.path_of(record.id).read_bytes()
    secrets = (row.wrapped_key, row.record, record.record, record.source, sealed[20:60])
    assert all(secret in everything(home) for secret in secrets)
    with Vault.open(home, key) as vault:
        done = erase(home, vault, "patient-1")
        assert (done.pseudonym, done.recordings, done.again) == (row.pseudonym, 1, False)
        assert [secret for secret in secrets if secret in everything(home)] == []  # also while it is open
        assert erase(home, vault, "patient-1").again
        assert erase(home, vault, row.pseudonym).again
        assert vault.verify() == ()
    assert [secret for secret in secrets if secret in everything(home)] == []
    assert b"patient-1" not in everything(home)
    assert row.pseudonym not in in_training(home)
    with Vault.open(home, key) as vault:
        assert vault.add(someone("patient-1"), make_recording(1), facts_of(1)).pseudonym == row.pseudonym
        assert vault.row(row.pseudonym).wrapped_key != row.wrapped_key


def test_a_vault_made_anew_finds_the_same_pseudonyms(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        before = vault.named("patient-2").pseudonym
    for path in sorted(home.vault.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with Vault.open(home, key) as vault:
        assert vault.add(someone("patient-2"), make_recording(2), facts_of(2)).pseudonym == before


def test_an_erasure_that_a_reader_holds_up_says_so_and_is_ended_later(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault, Vault.open(home, key) as reader:
        reader.index._database.execute("BEGIN")
        reader.index.patients()  # holds its snapshot of the write-ahead log
        with pytest.raises(GaitkeeperError) as caught:
            erase(home, vault, "patient-0", wait_s=0.1)
        assert caught.value.code == "erasure-unfinished"
        reader.index._database.execute("COMMIT")
        assert erase(home, vault, "patient-0").again


@pytest.mark.parametrize("share", [0.15, 0.35, 0.45, 0.6, 0.75, 0.95])
def test_killed_at_any_line_an_erasure_is_ended_by_the_next(site: tuple[SiteHome, SiteKey], share: float) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        wrapped = vault.row(vault.named("patient-1").pseudonym).wrapped_key
    kill_at(home, "erase", int(share * lines_of(home, "erase")))
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()
        erase(home, vault, "patient-1")
        assert len(vault.patients()) == 2
        assert wrapped not in everything(home)
        assert vault.verify() == ()


def test_recordings_past_their_time_go_and_with_the_last_the_patient(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    old = RecordingFacts("ab" * 32, "old.mp4", "2026-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00")
    new = RecordingFacts("cd" * 32, "new.mp4", "2026-01-01T00:00:00+00:00", "2025-12-31T00:00:00+00:00")
    only = RecordingFacts("ef" * 32, "only.mp4", "2020-01-01T00:00:00+00:00")
    with Vault.open(home, key) as vault:
        vault.add(someone("both"), make_recording(11), old)
        vault.add(someone("both"), make_recording(12), new)
        gone = vault.add(someone("old-only"), make_recording(13), only).pseudonym
        now = datetime(2026, 1, 2, tzinfo=UTC)
        assert apply_retention(home, vault, retention_policy(home), now=now).recordings == ()
        write_table(home, "retention", {"days": 365})
        removed = apply_retention(home, vault, retention_policy(home), now=now)
        assert (len(removed.recordings), removed.patients) == (2, (gone,))
        assert [facts.file_name for facts in vault.facts_of_recordings(vault.named("both").pseudonym)] == ["new.mp4"]
        assert vault.verify() == ()
    assert len(list((home.vault / "recordings").iterdir())) == 4


@pytest.mark.parametrize(
    "table", [{"days": 0}, {"days": 1.5}, {"days": True}, {"raw_video": "burn"}, {"day": 3}, {"days": 10**9}]
)
def test_a_policy_that_cannot_be_read_is_not_taken_for_none(
    site: tuple[SiteHome, SiteKey], table: dict[str, object]
) -> None:
    home, _ = site
    write_table(home, "retention", table)
    assert run(home, "retention") == (2, "retention-bad")


def test_the_retention_command_tells_before_it_removes(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    write_table(home, "retention", {"days": 30})
    with Vault.open(home, key) as vault:
        old = RecordingFacts("ab" * 32, "old.mp4", "2020-01-01T00:00:00+00:00")
        vault.add(someone("patient-0"), make_recording(11), old)
    status, output = run(home, "retention", "--dry-run", "--json")
    assert (status, len(json.loads(output)["recordings"]) >= 1) == (0, True)
    with Vault.open(home, key) as vault:
        assert vault.named("patient-0").recordings == 2
    assert run(home, "retention")[0] == 0
    assert "patient-erased" in [entry.event for entry in AuditLog(home.audit_log).entries()]


def test_a_running_site_does_not_train_on_what_is_past_its_time(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        vault.add(someone("new"), make_recording(20), RecordingFacts("aa" * 32, "new.mp4", "2990-01-01T00:00:00+00:00"))
        kept = vault.named("new").pseudonym
    runtime = HomeRuntime(home)
    first = runtime.dataset(APPROVED, parse_study(STUDY), "run")
    assert len(first.train) + len(first.held_out) == 4
    write_table(home, "retention", {"days": 30})
    after = runtime.dataset(APPROVED, parse_study(STUDY), "run")
    assert {person.pseudonym for person in (*after.train, *after.held_out)} == {kept}


@pytest.mark.parametrize("policy", ["keep", "delete"])
def test_a_raw_video_goes_once_it_is_stored_and_no_other_file_does(
    site: tuple[SiteHome, SiteKey], tmp_path: Path, policy: str
) -> None:
    home, key = site
    write_table(home, "retention", {"raw_video": policy})
    files = [tmp_path / name for name in ("walk.mp4", "walk.bvh", "refused.mp4")]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 1000)

    with Vault.open(home, key) as vault:
        sources = [Source(file, someone(f"film-{number}")) for number, file in enumerate(files)]
        summary = ingest(home, vault, sources, workers=1, analyse=_pretend)
    assert [outcome.status for outcome in sorted(summary.outcomes, key=lambda one: one.path.name)] == [
        "refused",
        "stored",
        "stored",
    ]
    assert [file.exists() for file in files] == [policy == "keep", True, True]


def test_without_consent_to_care_no_report_is_made_of_a_patient(site: tuple[SiteHome, SiteKey]) -> None:
    home, _ = site
    assert run(home, "consent", "patient-1", "--withdraw", "care+training")[0] == 0
    assert run(home, "analyze", "walk.mp4", "--patient", "patient-1") == (3, "consent-missing")
    looked = [entry.facts for entry in AuditLog(home.audit_log).entries() if entry.event == "vault-read"]
    assert [(facts["purpose"], facts["allowed"]) for facts in looked] == [("care", False)]


def test_verify_looks_at_the_log_and_the_ledger_too(site: tuple[SiteHome, SiteKey]) -> None:
    home, _ = site
    assert run(home, "patients")[0] == 0
    open_ledger(home)
    status, output = run(home, "verify")
    assert (status, "whole" in output) == (0, True)
    home.audit_log.write_bytes(home.audit_log.read_bytes().replace(b"list", b"lost"))
    assert run(home, "verify") == (4, "vault-unsound")


def _pretend(job: Job) -> JobResult:
    """Analysis of a made-up file: what matters is what becomes of the file afterwards."""
    if "refused" in job.path.name:
        return JobResult(job.number, refusals=(Refusal("no-walk", "nobody walks"),))
    return JobResult(job.number, encode_recording(make_recording(job.number)))
