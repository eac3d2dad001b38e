"""Kept reports as FHIR: in the state that their verified signatures give them, and only with consent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from test_signing_reports import PASSPHRASE, kept, signer
from vault_fixtures import everything, facts_of, make_recording, make_site, someone

from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.sending import kept_document, outdated, queue
from gaitkeeper_client.exchange.server import FhirServer, name_server
from gaitkeeper_client.exchange.traces import traces
from gaitkeeper_client.signing.clinicians import unlock_clinician
from gaitkeeper_client.signing.decide import agree_with_the_rest, decide
from gaitkeeper_client.signing.statements import Decision
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError


@pytest.fixture
def site(tmp_path: Path) -> Any:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        pseudonym = vault.add(someone(), make_recording(1), facts_of(1)).pseudonym
        yield home, vault, kept(home, vault, pseudonym)


def told(home: SiteHome, vault: Vault, report: str) -> dict[str, Any]:
    entries = json.loads(kept_document(home, vault, report).data)["entry"]
    return {entry["resource"]["resourceType"]: entry["resource"] for entry in entries}


def walk(home: SiteHome, vault: Vault, report: str) -> dict[str, Any]:
    entries = json.loads(kept_document(home, vault, report).data)["entry"]
    return next(
        one["resource"] for one in entries if one["resource"].get("identifier", [{}])[0]["value"].endswith("/walk")
    )


def test_a_kept_report_goes_out_as_it_stands_and_names_nobody(site: Any) -> None:
    home, vault, report = site
    draft = told(home, vault, report.id)
    assert draft["DiagnosticReport"]["status"] == "preliminary"
    assert draft["DiagnosticReport"]["subject"]["identifier"] == {
        "system": "https://gaitkeeper.invalid/fhir/identifier/pseudonym/clinic-test",
        "value": report.pseudonym,
    }
    assert "patient-1" not in json.dumps(draft)
    doctor = signer(home)
    decide(home, vault, report.id, doctor, (Decision("model", "overruled", "", "a knee", "ataxic"),))
    assert told(home, vault, report.id)["DiagnosticReport"]["status"] == "preliminary"  # a part is undecided
    decide(home, vault, report.id, doctor, agree_with_the_rest(verified(home, vault, report.id)))
    final = told(home, vault, report.id)
    assert final["DiagnosticReport"]["status"] == "final"
    assert final["DiagnosticReport"]["conclusion"] == "ataxic"
    assert final["Observation"]["interpretation"][0]["coding"][0]["code"] == "25136009"
    assert final["Provenance"]["agent"][1]["who"]["display"] == "dr.adams, neurologist"
    decide(home, vault, report.id, doctor, (Decision("model", "overruled", "", "seen again", ""),))
    later = told(home, vault, report.id)["DiagnosticReport"]
    assert (later["status"], "conclusion" in later) == ("amended", False)
    assert "valueQuantity" in json.dumps(walk(home, vault, report.id)["component"])
    decide(home, vault, report.id, doctor, (Decision("measurements", "overruled", "", "the wrong patient"),))
    components = walk(home, vault, report.id)["component"]
    assert "valueQuantity" not in json.dumps(components)  # whoever charts values reads no notes
    assert "the wrong patient" in json.dumps(components)


def test_without_consent_nothing_leaves(site: Any) -> None:
    home, vault, report = site
    vault.set_consent(report.pseudonym, Consent(frozenset()))
    with pytest.raises(GaitkeeperError) as failed:
        kept_document(home, vault, report.id)
    assert failed.value.code == "consent-missing"


def test_the_outbox_holds_nothing_of_a_patient_and_wants_a_named_server(site: Any) -> None:
    home, _, report = site
    with pytest.raises(GaitkeeperError, match="no FHIR server"):
        queue(home, [report.id])
    name_server(home, FhirServer("https://fhir.example/r4"))
    assert queue(home, [report.id]) == 1
    content = Outbox.of(home).path.read_bytes()
    assert report.id.encode() in content
    assert report.pseudonym.encode() not in content
    assert b"walking" not in everything(home)


def test_a_delivered_report_is_due_again_when_a_clinician_speaks(site: Any) -> None:
    home, vault, report = site
    outbox = Outbox.of(home)
    now = datetime.now(UTC)
    later, delivered = now + timedelta(hours=2), now + timedelta(hours=1)
    decide(home, vault, report.id, signer(home), (Decision("model", "agreed"),), now=now)
    outbox.end(outbox.queue(report.id, now.timestamp()), "delivered", delivered.timestamp())
    assert outdated(outbox, vault) == ()
    doctor = unlock_clinician(home, "dr.adams", PASSPHRASE)
    decide(home, vault, report.id, doctor, (Decision("model", "overruled", "", "a knee"),), now=later)
    assert outdated(outbox, vault) == (report.id,)
    outbox.end(outbox.queue(report.id, later.timestamp()), "delivered", (later + timedelta(hours=1)).timestamp())
    assert outdated(outbox, vault) == ()


def test_the_commands_write_what_they_say(site: Any, tmp_path: Path) -> None:
    home, _, report = site

    def run(*arguments: object) -> click.testing.Result:
        return CliRunner().invoke(build_command(), [str(one) for one in arguments])

    done = run("site", "report", "fhir", report.id, "--home", home.path, "--output", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    assert "draft" in done.output
    assert json.loads((tmp_path / "x.json").read_bytes())["type"] == "transaction"
    done = run("site", "report", "tables", report.id, "--home", home.path, "--output", tmp_path / "t")
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["curves.csv", "cycles.csv", "parameters.csv"]
    done = run("site", "report", "dicom", report.id, "--home", home.path, "--output", tmp_path / "x.dcm")
    assert done.exit_code == 0, done.output
    assert b"%PDF-" in (tmp_path / "x.dcm").read_bytes()
    motion = ("site", "report", "motion", report.id, "--home", home.path)
    done = run(*motion, "--to", "mot", "--output", tmp_path / "x.mot")
    assert (done.exit_code, "(draft)" in done.output) == (0, True), done.output
    assert (tmp_path / "x.mot").read_text().startswith("gaitkeeper draft\n")
    done = run(*motion, "--to", "xyz")
    assert "c3d, trc, mot" in str(done.exception)
    assert any(one.what == "file (the walk)" for one in traces(home, report.pseudonym))
    done = run("site", "exchange", "codes", tmp_path / "codes.json")
    assert json.loads((tmp_path / "codes.json").read_bytes())["resourceType"] == "CodeSystem"
    assert run("site", "report", "fhir", "r-0", "--home", home.path).exit_code != 0
    assert run("site", "exchange", "outbox", "--home", home.path).output.strip() == "0 report(s)."


def test_an_erasure_takes_back_what_was_sent_and_says_what_else_left(site: Any, tmp_path: Path) -> None:
    home, vault, report = site
    name_server(home, FhirServer("https://fhir.example/r4"))
    outbox = Outbox.of(home)
    post = outbox.queue(report.id, 1.0)
    outbox.leaves(post)
    outbox.end(post, "delivered", 2.0)
    vault.close()

    def run(*arguments: object) -> click.testing.Result:
        return CliRunner().invoke(build_command(), [str(one) for one in (*arguments, "--home", home.path)])

    run("site", "report", "tables", report.id, "--output", tmp_path / "t")
    done = run("site", "erase", "patient-1", "--yes", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["retracting"] == [report.id]
    assert [one["what"] for one in told["left"]] == ["file (tables)"]
    (waiting,) = outbox.posts()
    assert (waiting.kind, waiting.state, waiting.parts) == ("retraction", "waiting", "walk,proposal")
    assert report.id in run("site", "exchange", "traces", report.pseudonym).output
    assert "to be taken back" in run("site", "exchange", "outbox").output
    assert run("site", "erase", "patient-1", "--yes").exit_code == 0  # again, harmlessly
    assert len(outbox.posts()) == 1
