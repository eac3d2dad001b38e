"""From an upload to a signed report: the queue and its workers, and what a hostile upload meets."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time as clock
import zipfile

import pytest
from console_fixtures import (
    OCTETS,
    Time,
    bearer,
    browser,
    csrf_of,
    events,
    make_console,
    signed_in,
    small_recording,
    upload,
)
from exchange_fixtures import fhir_double
from fastapi.testclient import TestClient
from insight_walk_file import write_walk
from pyarrow import parquet

from gaitkeeper_client.console.child import told
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.jobs import MOST_ATTEMPTS
from gaitkeeper_client.console.results import KINDS
from gaitkeeper_client.console.serve import tidy
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_client.console.worker import work
from gaitkeeper_client.exchange.server import FhirServer, name_server
from gaitkeeper_client.signing.clinicians import add_clinician
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.errors import GaitkeeperError

PATIENT = "Mrs <script>alert(1)</script> 1951"
SIGNING = "sign with this one"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A synthetic walk as a laboratory's file."""
    path = tmp_path_factory.mktemp("walk") / "walk.bvh"
    write_walk(path, seconds=7.0)
    return path.read_bytes()


@pytest.fixture(scope="module")
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, time: Time) -> Console:
    made = make_console(tmp_path_factory.mktemp("console") / "site", time, upload_mb=20)
    add_clinician(made.home, "anna", "neurologist", SIGNING, scrypt_n=2**10)
    return made


def _start_worker(console: Console) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gaitkeeper_client.console.worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(told(console.home, None)).encode() + b"\n")
    worker.stdin.flush()
    return worker


def _until(console: Console, job: str, *states: str) -> str:
    deadline = clock.monotonic() + DEADLINE_S
    while (state := console.queue.get(job).state) not in states:
        assert clock.monotonic() < deadline, state
        clock.sleep(0.02)
    return state


@pytest.fixture(scope="module")
def done(console: Console, walk: bytes) -> dict[str, str]:
    """Jobs by name, after a worker was killed in the middle of the first and another one did them all."""
    client, key = browser(console), bearer(console, "upload")
    attack = "<img src=x onerror=alert(2)>"
    walked = upload(client, walk, key, patient=PATIENT, age=71, sex="female", note=attack, aid="two crutches")
    jobs = {"walk": walked}
    first = _start_worker(console)
    _until(console, jobs["walk"], "running")
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    assert console.queue.get(jobs["walk"]).state == "running"
    console.queue.take_back()
    assert console.queue.get(jobs["walk"]).state == "queued"
    jobs["nonsense"] = upload(client, b"HIERARCHY\nROOT nothing\n", key, patient="p2")
    work(console, "console-worker-test", threading.Event(), until_empty=True)
    return jobs


def test_a_killed_worker_loses_no_upload_and_the_next_one_ends_it(console: Console, done: dict[str, str]) -> None:
    job = console.queue.get(done["walk"])
    assert (job.state, job.attempts, job.code) == ("done", 2, None)
    assert job.report is not None
    with console.vault() as vault:
        patient = vault.named(PATIENT)
        assert (patient.recordings, patient.age, patient.sex) == (1, 71, "female")
    nonsense = console.queue.get(done["nonsense"])
    assert nonsense.state == "refused"
    assert nonsense.message is not None
    assert "console-work" not in nonsense.message
    assert not any((console.home.run / "console-work").iterdir())
    names = [event for event, _ in events(console)]
    assert names.count("ingested") == 1
    assert names.count("report-kept") >= 1


def test_what_is_on_the_disk_is_sealed(console: Console, done: dict[str, str], walk: bytes) -> None:
    files = [path for path in console.home.path.rglob("*") if path.is_file()]
    assert any("uploads" in path.parts for path in files)  # the policy keeps raw recordings
    for path in files:
        data = path.read_bytes()
        assert b"HIERARCHY" not in data, path
        assert b"alert(1)" not in data, path
        assert b"1951" not in data, path
        assert path.stat().st_mode & 0o077 == 0 or path.name.startswith("audit"), path


def test_a_report_is_read_decided_on_and_exported(console: Console, done: dict[str, str]) -> None:
    client = signed_in(console, "anna")
    report = str(console.queue.get(done["walk"]).report)
    page = client.get(f"/reports/{report}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert " style=" not in page.text
    assert "onerror" not in page.text or "&lt;img" in page.text
    assert "two crutches" in page.text
    assert 'value="agreed" checked' not in page.text  # what is signed was chosen
    csrf = csrf_of(client)
    _every_file_of_a_draft_says_so(client, report)
    _a_page_hands_the_report_to_the_record(console, client, report, csrf)
    items = len(re.findall(r'class="decision"', page.text))
    fields = {f"verdict-{number}": "agreed" for number in range(items)} | {"passphrase": SIGNING}
    assert client.post(f"/reports/{report}/decide", data=fields).status_code == 403  # no token
    wrong = client.post(f"/reports/{report}/decide", data={**fields, "csrf": csrf, "passphrase": "not this one"})
    assert 'role="alert"' in wrong.text
    nothing = client.post(f"/reports/{report}/decide", data={"csrf": csrf, "passphrase": SIGNING})
    assert "nothing was decided" in nothing.text
    overruled = {**fields, "csrf": csrf, "verdict-0": "overruled"}
    mistyped = {**overruled, "reason-0": 'a "cane" <i>', "passphrase": "not this one"}
    again = client.post(f"/reports/{report}/decide", data=mistyped).text
    assert 'name="verdict-0" value="overruled" checked' in again  # never back to "agree" for the second try
    assert 'name="verdict-0" value="agreed" checked' not in again
    assert "a &#34;cane&#34; &lt;i&gt;</textarea>" in again
    assert "a reason is needed" in client.post(f"/reports/{report}/decide", data=overruled).text
    signed = client.post(f"/reports/{report}/decide", data={**overruled, "reason-0": "wrong shoe <b>", "text-0": "x"})
    assert signed.status_code == 303
    stale = client.post(f"/reports/{report}/decide", data={**fields, "csrf": csrf, "after": ""})
    assert (stale.status_code, "signed something about report" in stale.text) == (409, True)  # a page of before
    page = client.get(f"/reports/{report}").text
    assert "wrong shoe &lt;b&gt;" in page
    fresh = str(re.findall(r'name="after" value="([0-9a-f]{64})"', page)[0])
    kept = {"csrf": csrf, "after": fresh, "passphrase": SIGNING, "verdict-0": "overruled", "reason-0": "once more"}
    assert client.post(f"/reports/{report}/decide", data=kept).status_code == 303
    final = client.get(f"/reports/{report}/download/fhir").json()
    status = next(item["resource"]["status"] for item in final["entry"] if "conclusion" in item["resource"])
    assert status in ("final", "amended")
    for kind, begins in (("csv", b"report_status,parameter"), ("html", b"<!DOCTYPE html>"), ("json", b"{")):
        answer = client.get(f"/reports/{report}/download/{kind}")
        assert answer.content.lstrip(b"\xef\xbb\xbf").lower().startswith(begins.lower()), kind
        assert answer.headers["content-disposition"] == f'attachment; filename="{report}.{kind}"'
    for kind in ("c3d", "trc", "mot", "motion-csv", "motion-bids"):  # no measurement of the walk stands any more
        answer = client.get(f"/reports/{report}/download/{kind}")
        assert (answer.status_code, "let no measurement" in answer.text) == (409, True), kind
    told = [facts for event, facts in events(console) if event in ("report-exported", "report-read")]
    assert all(facts["by"] == "anna" for facts in told)
    assert "console-signing-failed" in [event for event, _ in events(console)]


def _every_file_of_a_draft_says_so(client: TestClient, report: str) -> None:
    inside = {
        "pdf": b"%PDF-",
        "html": b"DRAFT",
        "fhir": b'"preliminary"',
        "dicom": b"UNVERIFIED",
        "csv": b"\ndraft,",
        "json": b'"draft"',
        "csv-tables": b"parameters.csv",
        "parquet": b"curves.parquet",
        "c3d": b"draft",
        "trc": b".draft.trc",
        "mot": b"gaitkeeper draft",
        "motion-csv": b"\ndraft,",
        "motion-bids": b"dataset_description.json",
    }
    page = client.get(f"/reports/{report}").text
    assert set(inside) == set(KINDS)
    for kind, has in inside.items():
        assert f'href="/reports/{report}/download/{kind}"' in page, kind
        answer = client.get(f"/reports/{report}/download/{kind}")
        assert answer.status_code == 200, kind
        assert has in answer.content, kind
        assert f'filename="{report}.draft.' in answer.headers["content-disposition"], kind
    bids = zipfile.ZipFile(io.BytesIO(client.get(f"/reports/{report}/download/motion-bids").content))
    assert b"draft" in bids.read("README")
    tables = zipfile.ZipFile(io.BytesIO(client.get(f"/reports/{report}/download/parquet").content))
    assert parquet.read_table(io.BytesIO(tables.read("cycles.parquet")))["report_status"][0].as_py() == "draft"


def _a_page_hands_the_report_to_the_record(console: Console, client: TestClient, report: str, csrf: str) -> None:
    place = f"/reports/{report}/send"
    assert place not in client.get(f"/reports/{report}").text  # no server is named: there is nothing to press
    assert client.post(place, data={"csrf": csrf}).status_code == 422
    with fhir_double() as record:
        name_server(console.home, FhirServer(record.url))
        assert "Not sent to" in client.get(f"/reports/{report}").text
        assert client.post(place, data={"csrf": "x" * 20}).status_code == 403  # no token
        record.answers.append((503, {}, b""))
        assert client.post(place, data={"csrf": csrf}).status_code == 303
        assert "Waits for" in client.get(f"/reports/{report}").text
        assert client.post(place, data={"csrf": csrf}).status_code == 303
        assert "with the status of that moment" in client.get(f"/reports/{report}").text
        assert record.stored
    assert [facts["by"] for event, facts in events(console) if event == "report-queued"] == ["anna", "anna"]


def test_a_programs_key_gets_results_and_nobody_gets_a_foreign_report(console: Console, done: dict[str, str]) -> None:
    client, report = browser(console), str(console.queue.get(done["walk"]).report)
    read, fhir = bearer(console, "read"), bearer(console, "fhir")
    assert client.get(f"/api/v1/reports/{report}", headers=read).json()["status"] == "analysed"
    assert client.get(f"/api/v1/reports/{report}/json", headers=read).json()["parameters"]["cadence"]["value"] > 50
    assert client.get(f"/api/v1/reports/{report}/fhir", headers=read).status_code == 403
    assert client.get(f"/api/v1/reports/{report}/fhir", headers=fhir).status_code == 200
    assert client.get(f"/api/v1/reports/{report}", headers=fhir).status_code == 403
    unknown = "r-0123456789abcdef"
    assert client.get(f"/api/v1/reports/{unknown}", headers=read).status_code == 404
    for bad in ("..%2f..%2fsite.toml", "r-0123", "%2e%2e", "r-0123456789abcdef%00", "' OR 1=1 --"):
        assert client.get(f"/api/v1/reports/{bad}", headers=read).status_code in (404, 422), bad
    for name in ("ivo", "otto"):
        visitor = signed_in(console, name)
        for path in (
            f"/reports/{report}",
            f"/reports/{report}/download/fhir",
            "/patients",
            f"/api/v1/reports/{report}",
        ):
            assert visitor.get(path).status_code == 403, (name, path)


def test_pages_show_names_as_text_and_never_in_addresses(console: Console, done: dict[str, str]) -> None:
    client = signed_in(console, "anna")
    for path in ("/today", "/patients"):
        text = client.get(path).text
        assert "Mrs &lt;script&gt;" in text
        assert "<script>alert" not in text
        assert not [link for link in re.findall(r'(?:href|action)="([^"]*)"', text) if "1951" in link]
    pseudonym = re.findall(r'href="/patients/(p-[0-9a-f]+)"', client.get("/patients").text)[0]
    attack = "</textarea><script>alert(3)</script>"
    note = client.post(f"/patients/{pseudonym}/note", data={"csrf": csrf_of(client), "note": attack})
    assert note.status_code == 303
    text = client.get(f"/patients/{pseudonym}").text
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(3)") == 2
    assert "alert(3)" not in console.home.audit_log.read_text()


def test_uploads_go_on_where_they_broke_off_and_only_there(console: Console) -> None:
    client, key = browser(console), bearer(console, "upload")
    asked = {"patient": "p3", "file_name": "walk.mp4", "size": 100}
    job = client.post("/api/v1/uploads", json=asked, headers=key).json()["id"]
    path, head = f"/api/v1/uploads/{job}", b"\0\0\0\x18ftypisom" + b"\0" * 8

    def send(data: bytes, offset: int, **more: str) -> int:
        return client.patch(
            path, content=data, headers={**key, **OCTETS, "upload-offset": str(offset), **more}
        ).status_code

    assert send(head, 5) == 409
    assert send(head, 0) == 204
    assert send(head, 0) == 409
    client = browser(Console.of(console.home, console.key, console.settings, console.clock))  # as after a restart
    assert client.head(path, headers=key).headers["upload-offset"] == "20"
    assert send(b"x" * 81, 20) == 422
    assert send(b"x" * 79, 20) == 204
    assert send(b"", 99) == 204
    assert client.get(f"/api/v1/jobs/{job}", headers=key).json()["state"] == "receiving"
    assert client.delete(path, headers=key).status_code == 204
    assert send(b"x", 99) == 409
    assert client.delete(path, headers=key).status_code == 409


HOSTILE = {
    "html as a video": ("walk.mp4", b"<html><script>alert(1)</script>"),
    "script as a table": ("walk.csv", b"<svg onload=alert(1)>"),
    "zip as a video": ("walk.mov", b"PK\x03\x04" + b"\0" * 30),
    "program as a video": ("walk.mkv", b"\x7fELF" + b"\0" * 30),
    "binary as text": ("walk.trc", b"PathFileType\0\0"),
    "no json": ("walk.json", b"MZ"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_not_what_it_says_gets_nowhere(console: Console, what: str) -> None:
    client, key = browser(console), bearer(console, "upload")
    name, data = HOSTILE[what]
    asked = {"patient": "p4", "file_name": f"../../../../{name}", "size": len(data)}
    job = client.post("/api/v1/uploads", json=asked, headers=key).json()["id"]
    sent = client.patch(f"/api/v1/uploads/{job}", content=data, headers={**key, **OCTETS, "upload-offset": "0"})
    assert (sent.status_code, sent.json()["code"]) == (415, "console-upload-kind")
    assert console.queue.get(job).state == "refused"
    assert not list((console.home.path / "uploads").rglob(job))


def test_what_cannot_be_taken_is_refused_before_it_comes(console: Console) -> None:
    client, key = browser(console), bearer(console, "upload")

    def begin(**said: object) -> tuple[int, str]:
        asked = {"patient": "p5", "file_name": "walk.mp4", "size": 100, **said}
        answer = client.post("/api/v1/uploads", json=asked, headers=key)
        return answer.status_code, answer.json().get("code", "")

    assert begin(size=20_000_001) == (413, "console-upload-too-large")
    assert begin(file_name="walk.exe") == (415, "console-upload-kind")
    assert begin(file_name="walk") == (415, "console-upload-kind")
    assert begin(consent="training") == (403, "consent-missing")
    assert begin(consent="everything")[0] == 422
    assert begin(height_m=9.0)[0] == 422
    assert begin(recorded_at="yesterday")[0] == 422
    assert begin(patient=" ")[0] == 422
    assert begin(size="many")[0] == 422
    assert begin(surprise=1)[0] == 422
    assert begin(aid="cane\a")[0] == 422
    large = b"x" * (SEGMENT_BYTES + 1)
    headers = {**key, **OCTETS, "upload-offset": "0"}
    assert client.patch(f"/api/v1/uploads/{'0' * 32}", content=large, headers=headers).status_code == 413
    chunked = client.patch(f"/api/v1/uploads/{'0' * 32}", content=iter([large]), headers=headers)
    assert chunked.status_code == 413
    answer = client.post("/api/v1/uploads", content=b"{" * 300_000, headers={**key, "content-type": "application/json"})
    assert answer.status_code == 413


def test_poison_ends_and_what_nobody_finishes_goes(console: Console, time: Time) -> None:
    client, key = browser(console), bearer(console, "upload")
    job = upload(client, b"HIERARCHY\nROOT", key, patient="p6")
    for _ in range(MOST_ATTEMPTS):
        taken = console.queue.take("console-worker-dead")
        assert taken is not None
        assert taken.id == job
        console.queue.take_back()
    ended = console.queue.get(job)
    assert (ended.state, ended.code) == ("failed", "console-job-poison")
    page = signed_in(console, "anna")
    assert page.post(f"/recordings/{job}/again", data={"csrf": csrf_of(page)}).status_code == 303
    assert console.queue.get(job).state == "queued"
    console.queue.end(job, "failed", error=GaitkeeperError("console-job-poison", attempts=3))
    unfinished = client.post(
        "/api/v1/uploads", json={"patient": "p7", "file_name": "walk.bvh", "size": 100}, headers=key
    ).json()["id"]
    time.pass_(hours=25)
    tidy(console)
    assert console.queue.get(unfinished).state == "abandoned"
    assert list((console.home.path / "uploads").rglob(job))
    time.pass_(days=8)
    tidy(console)
    assert not list((console.home.path / "uploads").rglob(job))


def test_a_consent_withdrawn_meanwhile_is_heeded_and_no_plain_bytes_are_left(console: Console) -> None:
    job = upload(browser(console), b"HIERARCHY\nROOT", bearer(console, "upload"), patient="p8", consent="care")
    with console.vault() as vault:
        facts = RecordingFacts("8" * 64, "x.mp4", "2026-01-01T00:00:00+00:00")
        pseudonym = vault.add(PatientFacts("p8", consent=Consent(frozenset())), small_recording(), facts).pseudonym
        vault.set_consent(pseudonym, Consent(frozenset(), frozenset({"care"})))
    left = console.home.run / "console-work" / "0123456789abcdef.mp4"
    left.write_bytes(b"left by a killed worker")
    fresh = left.with_stem("fedcba9876543210")

    def at_work() -> frozenset[str]:
        fresh.write_bytes(b"of a job that is taken at this very moment")
        return console.queue.at_work()

    console.uploads.sweep(at_work)
    assert (left.exists(), fresh.exists()) == (False, True)
    console.uploads.sweep(console.queue.at_work)
    assert not fresh.exists()
    work(console, "console-worker-test", threading.Event(), until_empty=True)
    assert console.queue.get(job).code == "consent-withdrawn"
    with console.vault() as vault:
        assert vault.named("p8").recordings == 1


def test_what_nobody_foresaw_is_told_without_its_words(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(*_: object) -> None:
        raise ValueError("Mustermann 1951")

    monkeypatch.setattr("gaitkeeper_client.console.processing._analysed", unforeseen)
    job = upload(browser(console), b"HIERARCHY\nROOT", bearer(console, "upload"), patient="p9", consent="care")
    work(console, "console-worker-test", threading.Event(), until_empty=True)
    failed = console.queue.get(job)
    assert failed.code == "console-job-unexpected"
    assert "ValueError in test_console_work.py" in str(failed.message)
    assert "Mustermann" not in str(failed.message)


def test_an_erased_patient_leaves_neither_recording_nor_job(
    console: Console, done: dict[str, str], walk: bytes
) -> None:
    pseudonym = console.queue.get(done["walk"]).pseudonym
    report = str(console.queue.get(done["walk"]).report)
    assert (console.home.path / "uploads" / pseudonym).is_dir()
    with console.vault() as vault:
        erase(console.home, vault, pseudonym)
    assert not (console.home.path / "uploads" / pseudonym).exists()
    tidy(console)
    with pytest.raises(GaitkeeperError, match="nothing here"):
        console.queue.get(done["walk"])
    client = signed_in(console, "anna")
    for path in (f"/patients/{pseudonym}", f"/reports/{report}"):
        assert client.get(path).status_code == 404
    returned = upload(browser(console), walk, bearer(console, "upload"), patient=PATIENT, consent="care")
    tidy(console)
    assert console.queue.get(returned).pseudonym == pseudonym  # who comes back is not forgotten again
