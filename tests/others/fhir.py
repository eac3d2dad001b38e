"""A report's whole life at a FHIR server of somebody else: draft, signed, and taken back after an erasure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx

from gaitkeeper_client.exchange.codes import REPORTS
from gaitkeeper_client.exchange.fhir import code_system
from gaitkeeper_client.exchange.retraction import retract_reports
from gaitkeeper_client.exchange.sending import queue, send_due
from gaitkeeper_client.exchange.server import FhirServer, name_server
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.signing.clinicians import add_clinician, unlock_clinician
from gaitkeeper_client.signing.decide import agree_with_the_rest, decide
from gaitkeeper_client.signing.kept import save
from gaitkeeper_client.signing.verification import verified
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import SiteKey, create_key
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk

PATIENT, SIGNING = "patient-1", "sign with this one"


def play(folder: Path, serving: Callable[..., AbstractContextManager[None]]) -> Iterator[str]:
    """What the server made of it, line by line. An ``AssertionError`` says what it did not take as we meant it."""
    port = free_port()
    home = SiteHome(folder / "site")
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    base = f"http://127.0.0.1:{port}"
    name_server(home, FhirServer(base))
    with serving(str(port)), httpx.Client(base_url=base, timeout=30.0) as server:
        taken = server.post("/CodeSystem", content=code_system(), headers={"content-type": "application/fhir+json"})
        assert taken.status_code == 201, taken.text
        yield "took the CodeSystem of our parameters"
        yield from _life(home, key, server)


def _life(home: SiteHome, key: SiteKey, server: httpx.Client) -> Iterator[str]:
    with Vault.open(home, key) as vault:
        report = _report(home, vault)
        queue(home, [report])
        _send(home, vault)
        draft = _only(server, report)
        walk = _resource(server, draft["result"][0]["reference"])
        assert draft["status"] == walk["status"] == "preliminary"
        measured = sum("valueQuantity" in one for one in walk["component"])
        withheld = sum("dataAbsentReason" in one for one in walk["component"])
        yield f"took the draft: {measured} parameters with a value, {withheld} with a reason"

        add_clinician(home, "dr.adams", "neurologist", SIGNING, scrypt_n=2**10)
        signer = unlock_clinician(home, "dr.adams", SIGNING)
        decide(home, vault, report, signer, agree_with_the_rest(verified(home, vault, report)))
        _send(home, vault)
        final = _only(server, report)
        assert final["id"] == draft["id"], "the signed report stands beside the draft"
        assert final["status"] == "final"
        agents = [agent for one in _all(server, "Provenance") for agent in one["agent"]]
        assert any("dr.adams" in agent["who"].get("display", "") for agent in agents)
        yield "replaced the draft by the signed report, and knows who signed"

        retract_reports(home, vault, PATIENT)
        erase(home, vault, PATIENT)
        _send(home, vault)
        gone = _only(server, report)
        walk = _resource(server, draft["result"][0]["reference"])
        for one in (gone, walk):
            assert one["status"] == "entered-in-error"
            assert not {"subject", "component", "effectiveDateTime", "result"} & set(one), one
        yield "took the report back after the erasure: no patient, no value, no time of the walk"


def _report(home: SiteHome, vault: Vault) -> str:
    walk = Walk(draw_patient("others", "hemiparetic", 3), 12.0)
    analysis = analyse(walk.trajectories(60.0), source={"kind": "simulation", "sha256": "ab" * 32}, height_m=1.7)
    assert analysis.recording is not None
    facts = RecordingFacts("8" * 64, "x.bvh", "2026-01-01T00:00:00+00:00")
    patient = PatientFacts(PATIENT, age=61.0, sex="female", height_m=1.7, consent=Consent(frozenset({"care"})))
    who = PatientContext(vault.add(patient, analysis.recording, facts).pseudonym, 61.0, "female", 1.7)
    return save(home, vault, who, analysis, None, recorded_at="2026-01-01T00:00:00+00:00").report.id


def _send(home: SiteHome, vault: Vault) -> None:
    done = send_due(home, vault)
    assert done.delivered or done.retracted, f"it was not taken: {done.message}"


def _only(server: httpx.Client, report: str) -> dict[str, Any]:
    found = _all(server, "DiagnosticReport", identifier=f"{REPORTS}|{report}")
    assert len(found) == 1, f"{len(found)} reports with one identifier"
    return found[0]


def _all(server: httpx.Client, kind: str, **query: str) -> list[dict[str, Any]]:
    bundle = server.get(f"/{kind}", params=query).json()
    return [entry["resource"] for entry in bundle.get("entry", ())]


def _resource(server: httpx.Client, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/{reference}").json()
    return found
