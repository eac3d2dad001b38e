"""Every page, and what other systems are sent, in the language of this process: into the folder that is named.

What is no word of ours (names, labels, reasons of clinicians) is written without vowels, by which the words are told.
"""

from __future__ import annotations

import dataclasses
import html
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from console_fixtures import browser, csrf_of, make_console, signed_in, small_recording, tie_of
from followup_fixtures import report as visit
from insight_fixtures import INPUT

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.consortium.policy import Hours, SitePolicy, StudyRules, load_policy, write_default_policy
from gaitkeeper_client.consortium.policy import in_plain_words as rules_said
from gaitkeeper_client.consortium.study_words import in_plain_words
from gaitkeeper_client.exchange.dicom import dicom_pdf
from gaitkeeper_client.exchange.facts import Decision, ReportFacts, Signed, Signer, Subject
from gaitkeeper_client.exchange.fhir import fhir_document
from gaitkeeper_client.exchange.retraction import retraction
from gaitkeeper_client.followup.course import course_of
from gaitkeeper_client.followup.page import render_course
from gaitkeeper_client.followup.pdf_page import render_course_pdf
from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.pipeline import analyse, nobody
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_client.insight.pdf_report import render_report_pdf
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.insight.standing import DRAFT, Decided, Standing
from gaitkeeper_client.signing.clinicians import add_clinician
from gaitkeeper_client.signing.kept import save
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.study import parse_study

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
WHO = PatientContext("p-0", 61.0, "female", 1.70)
DECIDED = (
    Decided("Xx", "overruled", "Xx", "Xx", "xx", "Dr Xx", "2026-05-04 09:00"),
    Decided("Xx", "amended", "Xx", "Xx"),
)
SIGNED = Standing("amended", "r-0", "0" * 64, "Dr Xx", "2026-05-04 09:00", DECIDED, ("k-0",))
TOLD = (Decision("Xx", "overruled", "Xx", "Xx", of_model=True), Decision("Xx", "amended", "Xx", "Xx"))


def main(folder: Path) -> None:
    """Write them."""
    for name, text in (*reports(), *courses(), *terms(folder), *consoles(folder)):
        (folder / name).write_bytes(text.encode("utf-8") if isinstance(text, str) else text)


@cache
def measured() -> Analysis:
    """A short walk."""
    walk = Walk(draw_patient("x", "hemiparetic", 3), 7.0)
    return analyse(walk.trajectories(50.0), source={"kind": "simulation", "sha256": "12" * 32}, height_m=1.7)


@cache
def findings() -> Findings:
    """What a model with random weights says: every part of the section is there."""
    bundle = ModelBundle.initial(ModelSpec("lstm", 8, 1, 0, "all", INPUT, ("xx", "yy"), "0" * 64))
    return judge(measured(), bundle, card_of(bundle, "7", sha256="cd" * 32))


def reports() -> Iterator[tuple[str, str | bytes]]:
    """The report of a walk and of nobody, as page and PDF, and as other systems get it."""
    walk, found = measured(), findings()
    walk = dataclasses.replace(walk, source={**walk.source, "kind": "video", "aid": "two crutches"})
    refused = nobody({"kind": "video"})
    for name, analysis, model, standing in (("report", walk, found, SIGNED), ("report-refused", refused, None, DRAFT)):
        yield f"{name}.html", render_report(analysis, model, patient=WHO, now=NOW, standing=standing)
        pdf = render_report_pdf(analysis, model, patient=WHO, now=NOW, standing=standing)
        yield f"{name}.pdf", pdf
        subject = Subject("p-0", "urn:x", "", 61.0, "female")
        facts = ReportFacts("r-0", subject, NOW, NOW, Signed((Signer("Dr Xx", ""),), NOW, TOLD), overruled="Xx")
        for one in (facts, dataclasses.replace(facts, signed=None, overruled="")):
            yield f"{name}-{one.state}.json", fhir_document(analysis, model, one).data
            yield f"{name}-{one.state}.dcm", dicom_pdf(pdf, one)
    yield "retraction.json", retraction("r-0", "walk,proposal", NOW).data


def courses() -> Iterator[tuple[str, str | bytes]]:
    """The page over time, of visits that differ."""
    random = np.random.default_rng(3)
    days = [(0, None), (40, {"walking_speed": 1.4, "symmetry_index": 30.0}), (80, {"walking_speed": 0.5})]
    course = course_of([visit(random, day, changed) for day, changed in days], WHO)
    yield "course.html", render_course(course, now=NOW)
    yield "course.pdf", render_course_pdf(course, now=NOW)


def terms(folder: Path) -> Iterator[tuple[str, str]]:
    """Studies and rules, in a board's words."""
    for path in sorted((ROOT / "examples").glob("*.toml")):
        study = parse_study(path.read_bytes())
        # The labels, signals and title are the study's own.
        said = "\n".join(in_plain_words(study))
        own = (study.title, study.name, *study.task.labels, *study.task.map, study.model.kind.upper())
        for word in sorted(filter(None, (*own, *study.model.trained)), key=len, reverse=True):
            said = said.replace(word, "")
        yield f"study-{path.stem}.txt", said
    home = SiteHome(folder / "rules")
    home.path.mkdir()
    write_default_policy(home)
    hours = Hours(time(20), time(6), ZoneInfo("UTC"))
    narrow = SitePolicy(StudyRules(frozenset(), 1, 1.0, 1e-6, 1.0, True, 5, True), frozenset(), hours, False, False)
    yield "rules.txt", "\n".join((*rules_said(load_policy(home)), *rules_said(narrow)))


def consoles(folder: Path) -> Iterator[tuple[str, str]]:
    """The console's pages, as each role sees them."""
    console, walk = make_console(folder / "site"), measured()
    add_clinician(console.home, "anna", "nrlgst", "sign with this one", scrypt_n=2**10)
    came = RecordingFacts("8" * 64, "x.mp4", "2026-05-04T08:00:00+00:00")
    with console.vault() as vault:
        patient = PatientFacts("p", age=61.0, sex="female", consent=Consent(frozenset({"care", "training"})))
        pseudonym = vault.add(patient, small_recording(), came).pseudonym
        kept = save(console.home, vault, PatientContext(pseudonym, 61.0, "female"), walk, findings()).report.id
    course = f"/patients/{pseudonym}/course"
    people = {
        "anna": ("/today", "/upload", "/patients", f"/patients/{pseudonym}", course, f"/reports/{kept}"),
        "ivo": ("/site", "/studies", "/budget", "/deployments", "/health"),
        "otto": ("/audit",),
        "": ("/sign-in",),
    }
    for who, places in people.items():
        client = signed_in(console, who) if who else browser(console)
        for place in places:
            answer = client.get(place)
            assert answer.status_code == 200, (place, answer.text)
            yield f"console{place.replace('/', '-')}.html", answer.text
    yield from mistakes(console, kept, pseudonym)


def mistakes(console: Console, report: str, pseudonym: str) -> Iterator[tuple[str, str]]:
    """What a clinician is told who does something wrong."""
    stranger, anna = browser(console), signed_in(console, "anna")
    csrf, decide = csrf_of(anna), f"/reports/{report}/decide"
    nowhere = {"name": "anna", "password": "xx", "tie": tie_of(stranger)}
    kind = {"patient": "p", "file_name": "x.exe", "size": 5}
    answers = {
        "password": stranger.post("/sign-in", data=nowhere),
        "nothing": anna.post(decide, data={"csrf": csrf, "passphrase": "xx"}),
        "passphrase": anna.post(decide, data={"csrf": csrf, "passphrase": "xx", "verdict-0": "agreed"}),
        "allowed": anna.get("/site"),
        "report": anna.get("/reports/r-0123456789abcdef"),
        "form": anna.post(decide, data={}),
        "forged": anna.post(decide, data={"csrf": "x"}),
        "note": anna.post(f"/patients/{pseudonym}/note", data={"csrf": csrf, "note": "x" * 5000}),
        "kind": anna.post("/api/v1/uploads", json=kind, headers={"x-csrf-token": csrf}),
    }
    for name, answer in answers.items():
        assert 400 <= answer.status_code < 500, (name, answer.text)
        text = answer.text
        if "json" in answer.headers["content-type"]:
            problem = answer.json()
            text = f'<html lang="qps"><p>{html.escape(problem["title"])} {html.escape(problem["remedy"])}</p></html>'
        yield f"mistake-{name}.html", text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
