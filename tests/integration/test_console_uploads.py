"""What an upload meets that is broken off, hostile, too much, withdrawn, or never finished."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from console_fixtures import OCTETS, Time, bearer, browser, csrf_of, make_console, signed_in, small_recording, upload

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.jobs import MOST_ATTEMPTS
from gaitkeeper_client.console.serve import tidy
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_client.console.worker import work
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.errors import GaitkeeperError


@pytest.fixture(scope="module")
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, time: Time) -> Console:
    return make_console(tmp_path_factory.mktemp("console") / "site", time, upload_mb=20)


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
    left.parent.mkdir(parents=True, exist_ok=True)
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
    assert f"ValueError in {Path(__file__).name}" in str(failed.message)
    assert "Mustermann" not in str(failed.message)
