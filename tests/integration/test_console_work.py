"""From an upload to a signed report: the queue and its workers, and what leaves as a file or to a server."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest
from console_fixtures import (
    bearer,
    browser,
    csrf_of,
    events,
    make_console,
    signed_in,
    upload,
)
from exchange_fixtures import fhir_double
from fastapi.testclient import TestClient
from insight_walk_file import write_walk
from pyarrow import parquet

from gaitkeeper_client.console.child import told
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.results import KINDS
from gaitkeeper_client.console.serve import tidy
from gaitkeeper_client.console.worker import work
from gaitkeeper_client.exchange.server import FhirServer, name_server
from gaitkeeper_client.signing.clinicians import add_clinician
from gaitkeeper_client.vault.erasure import erase
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
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = make_console(tmp_path_factory.mktemp("console") / "site", upload_mb=20)
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
    deadline = time.monotonic() + DEADLINE_S
    while (state := console.queue.get(job).state) not in states:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
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
    answers = {kind: client.get(f"/reports/{report}/download/{kind}") for kind in inside}
    for kind, answer in answers.items():
        assert f'href="/reports/{report}/download/{kind}"' in page, kind
        assert answer.status_code == 200, kind
        assert inside[kind] in answer.content, kind
        assert f'filename="{report}.draft.' in answer.headers["content-disposition"], kind
    with zipfile.ZipFile(io.BytesIO(answers["motion-bids"].content)) as bids:
        assert b"draft" in bids.read("README")
    with zipfile.ZipFile(io.BytesIO(answers["parquet"].content)) as tables:
        cycles = parquet.read_table(io.BytesIO(tables.read("cycles.parquet")))
    assert cycles["report_status"][0].as_py() == "draft"


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
