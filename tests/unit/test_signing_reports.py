"""Kept reports and what clinicians sign about them: nothing that was not signed is shown as signed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from vault_fixtures import everything, facts_of, make_recording, make_site, someone

from gaitkeeper_client.gait.analysis import Analysis, Cycle, Parameter, Reason, analysis_of
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.findings import Findings, LabelProbability, ModelCard, findings_of
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.language.texts import texts
from gaitkeeper_client.signing.clinicians import (
    NEW_PASSPHRASE_VARIABLE,
    PASSPHRASE_VARIABLE,
    Signer,
    add_clinician,
    change_passphrase,
    unlock_clinician,
    withdraw_clinician,
)
from gaitkeeper_client.signing.decide import agree_with_the_rest, decide
from gaitkeeper_client.signing.kept import KeptReport, list_for, load, save
from gaitkeeper_client.signing.standing import standing_of, verified_standing
from gaitkeeper_client.signing.statements import Decision, SignedStatement, put_statement, signed_statements_of
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.home import SiteHome, write_table
from gaitkeeper_client.vault.keys import SiteKey, unlock
from gaitkeeper_client.vault.rotation import rotate_key
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.keys import SigningKey
from gaitkeeper_shared.trust.signatures import STATEMENT_CONTEXT
from gaitkeeper_shared.trust.signatures import sign as sign_bytes

PASSPHRASE = "correct horse battery staple"
REASON = "an old injury of the knee, no stroke"


def a_walk(speed: float = 1.1, recording: int = 1) -> Analysis:
    """A small analysis with a value, a refusal, a cycle with a gap, and a recording."""
    curve = np.linspace(0.0, 60.0, 101)
    curve[3] = np.nan
    return Analysis(
        "analysed",
        (),
        {"kind": "test", "sha256": "ab" * 32, "notes": ["seen from the side"]},
        {
            "walking_speed": Parameter("m/s", speed, (speed - 0.05, speed + 0.05), 9, None, (Reason("far", "care"),)),
            "step_width": Parameter("m", refused=Reason("space-needed", "needs space")),
        },
        (),
        (Cycle("left", 0.0, 1.0, 0.6, None, 0.5, {"knee_flexion_left": curve}),),
        {"duration_s": 3.0},
        make_recording(recording),
    )


def a_model() -> Findings:
    card = ModelCard("7", "lstm", "0" * 64, ("healthy", "hemiparetic"), ("knee_flexion_left",), 2.0, 50.0)
    scores = (LabelProbability("hemiparetic", 0.9, 0.8, 0.95), LabelProbability("healthy", 0.1, None, None))
    return Findings("decided", card, 4, scores, "hemiparetic", 1.0)


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, SiteKey, str]:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        pseudonym = vault.add(someone(), make_recording(1), facts_of(1)).pseudonym
        kept(home, vault, pseudonym)
    return home, key, pseudonym


def kept(home: SiteHome, vault: Vault, pseudonym: str) -> KeptReport:
    context = PatientContext(pseudonym, 70.0, "female", 1.7)
    return save(home, vault, context, a_walk(), a_model(), recorded_at="2026-01-01T00:00:00+00:00").report


def signer(home: SiteHome, name: str = "dr.adams") -> Signer:
    add_clinician(home, name, "neurologist", PASSPHRASE, scrypt_n=2**10)
    return unlock_clinician(home, name, PASSPHRASE)


def code_of(action: object) -> str:
    with pytest.raises(GaitkeeperError) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


def test_an_analysis_and_findings_come_back_from_their_json_as_they_were() -> None:
    walk, model = a_walk(), a_model()
    again = analysis_of(json.loads(json.dumps(walk.to_json())), walk.recording)
    assert again.to_json() == walk.to_json()
    assert np.isnan(again.cycles[0].curves["knee_flexion_left"][3])
    assert findings_of(json.loads(json.dumps(model.to_json()))) == model
    for change in ({"status": "perhaps"}, {"cycles": [{"side": "left"}]}, {"unheard": 1}, {"events": 3}):
        with pytest.raises(ValueError, match="analysis"):
            analysis_of({**walk.to_json(), **change})


def test_a_report_is_kept_once_encrypted_and_by_consent(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report = kept(home, vault, pseudonym)
        assert [one.id for one in list_for(vault, pseudonym)] == [report.id]
        assert (report.state, report.model_version, len(report.items)) == ("draft", "7", 2)
        assert report.analysis.recording is not None
        faster = save(home, vault, report.patient, a_walk(1.3), a_model(), recorded_at="2025-06-01T00:00:00+00:00")
        assert [one.id for one in list_for(vault, pseudonym)] == [faster.report.id, report.id]  # by when they walked
        vault.set_consent(pseudonym, Consent(frozenset({"training"})))
        assert code_of(lambda: kept(home, vault, pseudonym)) == "consent-missing"
        assert code_of(lambda: load(vault, "r-0000000000000000")) == "report-unknown"
    assert b"hemiparetic" not in everything(home)


def test_a_file_that_was_ingested_with_a_date_needs_no_other(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        facts = dataclasses.replace(facts_of(2), recorded_at="2024-05-06T00:00:00+00:00")
        vault.add(someone(), make_recording(2), facts)
        walk = dataclasses.replace(a_walk(), source={"kind": "test", "sha256": facts.source_sha256})
        report = save(home, vault, PatientContext(pseudonym), walk, None).report
        assert report.recorded_at == facts.recorded_at
        other = dataclasses.replace(walk, source={"kind": "test", "sha256": "cd" * 32})
        assert save(home, vault, PatientContext(pseudonym), other, None).report.recorded_at is None


def test_a_clinician_overrules_signs_and_the_chain_is_verified(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        word = Decision("model", "overruled", "antalgic gait", REASON, "antalgic")
        half = decide(home, vault, report.id, who, [word])
        assert (half.state, [item.id for item in half.undecided]) == ("draft", ["measurements"])
        signed = decide(home, vault, report.id, who, agree_with_the_rest(half))
        assert signed.state == "signed"
        assert code_of(lambda: agree_with_the_rest(signed)) == "report-signed"
        other = signer(home, "b.okoro")
        amended = decide(home, vault, report.id, other, [Decision("measurements", "amended", "with a cane", "seen")])
        assert amended.state == "amended"
    rotate_key(home, key, None)
    with Vault.open(home, unlock(home)) as vault:
        again, standing = verified_standing(home, vault, report.id)
        assert again.statements == amended.statements
        assert standing.to_json() == {"id": report.id, "status": "amended", "signed_by": "b.okoro (neurologist)"}
        assert vault.verify() == ()
    events = [entry.event for entry in AuditLog(home.audit_log).entries()]
    assert events.count("report-decided") == 3


@pytest.mark.parametrize(
    "word",
    [
        Decision("model", "overruled"),
        Decision("model", "amended", "", REASON),
        Decision("measurements", "overruled", "", REASON, "antalgic"),
        Decision("knee-left", "agreed"),
        Decision("model", "overruled", "x" * 3000, REASON),
    ],
)
def test_a_decision_without_reason_text_or_finding_is_not_taken(
    site: tuple[SiteHome, SiteKey, str], word: Decision
) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        assert code_of(lambda: decide(home, vault, report.id, who, [word])) == "decision-bad"
        assert load(vault, report.id).statements == ()


def test_what_no_clinician_of_the_site_signed_is_not_shown_as_signed(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        signed = decide(home, vault, report.id, who, agree_with_the_rest(report))
        true = signed_statements_of(vault, pseudonym, report.id)[0]
        forged_key = SigningKey.generate()
        for change, code in (
            ({"report_sha256": "0" * 64}, "report-statement-wrong"),
            ({"previous_sha256": ""}, "report-statement-wrong"),
            ({"key_id": forged_key.verifying.key_id}, "signature-not-trusted"),
            ({}, "signature-not-trusted"),
        ):
            second = dataclasses.replace(true.statement, number=2, previous_sha256=true.statement.sha256)
            with_change = dataclasses.replace(second, **change)  # type: ignore[arg-type]
            content = with_change.canonical()
            signatures = sign_bytes(content, STATEMENT_CONTEXT, forged_key)
            put_statement(vault, pseudonym, SignedStatement(with_change, content, signatures))
            assert code_of(lambda: verified(home, vault, report.id)) == code, change
            with vault.writing(), vault.index.transaction():
                vault.index.remove_document(vault.index.documents(pseudonym)[-1].id)
        assert verified(home, vault, report.id).statements == signed.statements


def test_a_key_that_the_audit_log_never_saw_is_nobodys(site: tuple[SiteHome, SiteKey, str], tmp_path: Path) -> None:
    home, key, pseudonym = site
    elsewhere, _ = make_site(tmp_path / "elsewhere")
    stranger = signer(elsewhere, "stranger")
    with Vault.open(home, key) as vault:
        report = list_for(vault, pseudonym)[0]
        folder = home.keys / "clinicians"
        folder.mkdir()
        (folder / "stranger.toml").write_bytes((elsewhere.keys / "clinicians" / "stranger.toml").read_bytes())
        decide(home, vault, report.id, stranger, agree_with_the_rest(report))
        assert code_of(lambda: verified(home, vault, report.id)) == "signature-not-trusted"


def test_a_withdrawn_clinician_signs_no_more_and_what_was_signed_stays(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        assert code_of(lambda: unlock_clinician(home, "dr.adams", "a wrong passphrase")) == "clinician-passphrase-wrong"
        decide(home, vault, report.id, who, agree_with_the_rest(report))
        withdraw_clinician(home, "dr.adams")
        assert code_of(lambda: unlock_clinician(home, "dr.adams", PASSPHRASE)) == "clinician-withdrawn"
        assert verified(home, vault, report.id).state == "signed"
        later = [Decision("model", "overruled", "", REASON)]
        from datetime import UTC, datetime, timedelta

        decide(home, vault, report.id, who, later, now=datetime.now(UTC) + timedelta(minutes=5))
        assert code_of(lambda: verified(home, vault, report.id)) == "report-statement-wrong"


def test_a_clinicians_label_is_trained_on_only_by_its_own_consent(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        decide(home, vault, report.id, who, [Decision("model", "overruled", "", REASON, "antalgic")])
        assert vault.named(pseudonym).training_label == "healthy"
        vault.set_consent(pseudonym, Consent(frozenset({"care", "training"})))
        assert vault.named(pseudonym).training_label == "healthy"
        vault.set_consent(pseudonym, Consent(frozenset({"care", "training", "labels"})))
        assert vault.named(pseudonym).training_label == "antalgic"
        decide(home, vault, report.id, who, [Decision("model", "agreed")])
        assert vault.named(pseudonym).training_label == "healthy"
    write_table(home, "consent", {"unless_said": "care+training+labels"})
    assert code_of(lambda: Vault.open(home, key)) == "site-config-damaged"


def test_pages_say_what_was_decided_and_a_draft_says_that_it_is_one(site: tuple[SiteHome, SiteKey, str]) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report, who = list_for(vault, pseudonym)[0], signer(home)
        draft = render_report(report.analysis, report.findings, patient=report.patient, standing=standing_of(report))
        evil = Decision("model", "overruled", "<script>alert(1)</script>", REASON)
        half = decide(home, vault, report.id, who, [evil])
        assert "1 of 2 findings" in render_report(half.analysis, half.findings, standing=standing_of(half))
        whole = decide(home, vault, report.id, who, agree_with_the_rest(half))
    page = render_report(whole.analysis, whole.findings, patient=whole.patient, standing=standing_of(whole))
    assert "– DRAFT</title>" in draft
    assert "DRAFT" not in page
    assert "Signed by dr.adams (neurologist)" in page
    assert REASON in page
    assert "<script>" not in page
    assert whole.sha256 in page


def test_the_command_lists_signs_and_shows(
    site: tuple[SiteHome, SiteKey, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, key, pseudonym = site
    with Vault.open(home, key) as vault:
        report = list_for(vault, pseudonym)[0]
    signer(home)
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, str(secret))

    def run(*arguments: str) -> str:
        command = build_command()
        assert isinstance(command, click.Group)
        result = CliRunner().invoke(command, ["site", *arguments, "--home", str(home.path)], catch_exceptions=False)
        return result.output

    assert report.id in run("report", "list")
    overruled = run(
        "report", "overrule", report.id, "model", "--by", "dr.adams", "--reason", REASON, "--label", "antalgic"
    )
    assert "Overruled" in overruled
    assert "DRAFT" in overruled
    assert "Signed by dr.adams" in run("report", "sign", report.id, "--by", "dr.adams")
    shown = json.loads(run("report", "show", report.id, "--json"))
    assert (shown["state"], len(shown["decisions"])) == ("signed", 2)
    run("report", "show", report.id, "--output", str(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert document["report"] == {"id": report.id, "status": "signed", "signed_by": "dr.adams (neurologist)"}
    run("report", "pdf", report.id, "--output", str(tmp_path / "one.pdf"))
    run("report", "show", report.id, "--output", str(tmp_path / "out"), "--pdf")
    pages = [tmp_path / "one.pdf", tmp_path / "out" / "report.pdf"]
    assert all(page.read_bytes().startswith(b"%PDF-") and page.stat().st_mode & 0o077 == 0 for page in pages)
    assert "dr.adams" in run("clinician", "list")
    new = tmp_path / "new"
    new.write_text("another horse, another battery")
    new.chmod(0o600)
    monkeypatch.setenv(NEW_PASSPHRASE_VARIABLE, str(new))
    assert "in force" in run("clinician", "passphrase", "dr.adams")
    assert code_of(lambda: unlock_clinician(home, "dr.adams", PASSPHRASE)) == "clinician-passphrase-wrong"
    assert code_of(lambda: run("clinician", "passphrase", "dr.adams")) == "clinician-passphrase-wrong"
    signs = unlock_clinician(home, "dr.adams", "another horse, another battery")
    assert code_of(lambda: change_passphrase(home, "dr.adams", new.read_text(), "short")) == "passphrase-weak"
    with Vault.open(home, key) as vault:
        assert verified(home, vault, report.id).state == "signed"  # what was signed before stays signed
        decide(home, vault, report.id, signs, (Decision("model", "agreed"),))
        assert verified(home, vault, report.id).state == "amended"


def test_an_unknown_language_speaks_english_and_every_text_can_be_filled() -> None:
    assert texts("xx").language == "en"
    assert texts("en_GB.UTF-8")("standing.draft_short") == "DRAFT – not signed"
    with pytest.raises(KeyError):
        texts()("standing.unheard_of")
