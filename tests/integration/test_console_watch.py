"""The watched folder and the operator's schedule: the right patient or nobody, each file once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from console_fixtures import events, make_console, small_recording
from hypothesis import given
from hypothesis import strategies as st

from gaitkeeper_client.capture.live import Camera, bouts
from gaitkeeper_client.capture.video import Frame
from gaitkeeper_client.console.ambient import CameraWatch
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.folder import WatchedFolder
from gaitkeeper_client.console.schedule import Slot, read_schedule, who_walks
from gaitkeeper_client.console.settings import camera_source
from gaitkeeper_client.console.watching import watch_folders
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.home import write_table
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import hold

UNWILLING = PatientFacts("unwilling", consent=Consent(frozenset({"training"})))
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
HEAD = "place,from,until,patient,consent\n"
VIDEO = b"\0\0\0\x18ftypisom" + b"\0" * 40


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = make_console(tmp_path_factory.mktemp("watch") / "site")
    with made.vault() as vault:
        for digit, patient in enumerate((PatientFacts("known"), UNWILLING)):
            facts = RecordingFacts(str(digit) * 64, "x.mp4", "2026-01-01T00:00:00+00:00")
            vault.add(patient, small_recording(), facts)
    return made


def _slots(*rows: tuple[str, int, int], consent: str = "") -> tuple[Slot, ...]:
    return tuple(
        Slot("", START + timedelta(minutes=start), START + timedelta(minutes=end), patient, consent=consent)
        for patient, start, end in rows
    )


def _file(folder: Path, name: str, minute: int, data: bytes = VIDEO) -> Path:
    path = folder / name
    path.write_bytes(data + name.encode())
    at = (START + timedelta(minutes=minute)).timestamp()
    os.utime(path, (at, at))
    return path


def test_files_that_lie_still_are_handed_in_once_for_who_was_scheduled(console: Console, tmp_path: Path) -> None:
    slots = _slots(("known", 0, 30), ("unwilling", 30, 60), ("stranger", 60, 90))
    folder = WatchedFolder(console, tmp_path)
    good, growing = _file(tmp_path, "walk.mp4", 5), _file(tmp_path, "growing.mp4", 6)
    _file(tmp_path, "noname.mp4", 500)
    _file(tmp_path, "unwilling.mp4", 40)
    _file(tmp_path, "stranger.mp4", 70)
    _file(tmp_path, "page.mp4", 7, b"<html>")
    _file(tmp_path, "notes.docx", 8)
    _file(tmp_path, ".hidden.mp4", 9)
    (tmp_path / "link.mp4").symlink_to(good)
    assert folder.look(slots) == 0  # the first look only remembers
    growing.write_bytes(VIDEO * 2)
    assert folder.look(slots) == 1
    assert dict(folder.tally.skipped) == {
        "nobody-scheduled": 1,
        "consent-missing": 1,
        "patient-unknown": 1,
        "console-upload-kind": 2,
    }
    jobs = [job for job in console.queue.recent() if job.owner == "watch" and job.state == "queued"]
    assert len(jobs) == 1
    assert console.uploads.facts(jobs[0]).patient.patient_id == "known"
    assert folder.look(slots) == 0
    assert WatchedFolder(console, tmp_path).look(slots) == 0  # as after a restart
    again = WatchedFolder(console, tmp_path)
    again.look(slots)
    assert again.look(slots) == 0
    assert good.exists()
    told = [facts for event, facts in events(console) if event == "watch-skipped"]
    assert len(told) == 6  # the one that grew lies still by now, and nobody was scheduled for that hour
    assert not any("known" in str(facts) and "patient" in facts for facts in told)


def test_where_the_policy_deletes_videos_the_file_goes_when_the_copy_is_sealed(
    console: Console, tmp_path: Path
) -> None:
    write_table(console.home, "retention", {"raw_video": "delete"})
    path = _file(tmp_path, "other.mp4", 5)
    folder = WatchedFolder(console, tmp_path)
    folder.look(_slots(("newcomer", 0, 30), consent="care"))
    assert folder.look(_slots(("newcomer", 0, 30), consent="care")) == 1
    assert not path.exists()
    assert folder.tally.kept == 1


def test_one_pass_analyses_what_lies_there_and_says_what_it_did(console: Console, tmp_path: Path) -> None:
    said: list[str] = []
    schedule = tmp_path / "schedule.csv"
    schedule.write_text(HEAD + "inbox,2026-05-04T09:00Z,2026-05-04T10:00Z,known,\n")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    _file(inbox, "broken.bvh", 5, b"HIERARCHY\nROOT nothing\n")
    tally = watch_folders(console, [inbox], schedule, said.append, every_s=0.01, once=True)
    assert str(tally) == "1 handed in"
    assert {job.state for job in console.queue.recent(since="0") if job.owner == "watch"} <= {"refused", "failed"}
    with pytest.raises(GaitkeeperError, match="cannot be looked into"):
        watch_folders(console, [tmp_path / "none"], schedule, said.append, every_s=0.01, once=True)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(1, 30)), max_size=6),
    st.integers(0, 80),
    st.integers(0, 10),
)
def test_a_walk_is_never_given_to_one_of_two(rows: list[tuple[str, int, int]], start: int, length: int) -> None:
    slots = _slots(*((patient, begin, begin + span) for patient, begin, span in rows))
    first, last = START + timedelta(minutes=start), START + timedelta(minutes=start + length)
    found = who_walks(slots, "hall", first, last)
    others = {slot.patient for slot in slots if slot.start < last and first < slot.end}
    whole = {slot.patient for slot in slots if slot.start <= first and last <= slot.end}
    if found is None:
        assert len(whole | others) != 1 or not whole
    else:
        assert whole | others == {found.patient}
        assert found.start <= first
        assert last <= found.end


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the column place, from, until, patient"),
        ("place,from,until,patient,shoe\n", "has a column shoe"),
        (HEAD + "hall,2026-05-04T09:00,2026-05-04T10:00Z,x,\n", "offset from UTC"),
        (HEAD + "hall,2026-05-04T10:00Z,2026-05-04T09:00Z,x,\n", "not after"),
        (HEAD + "hall,2026-05-04T09:00Z,2026-05-04T10:00Z,,\n", "patient is empty"),
        (HEAD + "hall,2026-05-04T09:00Z,2026-05-04T10:00Z,x,anything\n", "consent"),
    ],
)
def test_a_schedule_that_is_wrong_in_a_part_is_not_used(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "schedule.csv"
    path.write_text(text)
    with pytest.raises(GaitkeeperError, match=says):
        read_schedule(path)


def _frames(moving: list[tuple[float, float]], seconds: float, rate_hz: float = 15.0) -> list[Frame]:
    """A grey room in which a dark box crosses the picture in the given stretches."""
    rng, found = np.random.default_rng(0), []
    for index in range(round(seconds * rate_hz)):
        time_s = index / rate_hz
        image = np.full((108, 192, 3), 120, dtype=np.uint8) + rng.integers(0, 4, (108, 192, 3), dtype=np.uint8)
        for start, end in moving:
            if start <= time_s < end:
                at = round(10 + 160 * (time_s - start) / (end - start))
                image[30:90, at : at + 14] = 20
        found.append(Frame(index, time_s, image))
    return found


def test_a_cameras_day_is_cut_where_something_moves() -> None:
    found = []
    for bout in bouts(iter(_frames([(3.0, 7.0), (12.0, 15.0)], 20.0))):
        times = [frame.time_s for frame in bout]
        assert times[0] == 0.0
        found.append((bout.start_s, bout.end_s))
    assert len(found) == 2
    for (start, end), (truth_start, truth_end) in zip(found, [(3.0, 7.0), (12.0, 15.0)], strict=True):
        assert truth_start <= start <= truth_start + 0.4
        assert truth_end + 1.0 <= end <= truth_end + 2.5
    lamp = _frames([], 6.0)
    for frame in lamp[45:]:
        frame.image[:] += 80  # the light goes on, nobody walks
    assert not list(bouts(iter(lamp)))
    broken = [frame for frame in _frames([(3.0, 7.0)], 8.0) if not 4.5 < frame.time_s < 6.0]
    first = next(bouts(iter(broken)))
    assert max(frame.time_s for frame in first) < 2.0  # nothing is joined across a lost connection


def test_a_camera_is_not_looked_at_for_nobody(console: Console, tmp_path: Path) -> None:
    class Room(Camera):
        def frames(self, stop: threading.Event) -> Iterator[Frame]:
            yield from _frames([(3.0, 7.0)], 10.0)

    for slots, code in (
        (_slots(("known", 60, 90)), "nobody-scheduled"),
        (_slots(("unwilling", 0, 30)), "consent-missing"),
        (_slots(("stranger", 0, 30)), "patient-unknown"),
    ):
        watch = CameraWatch(console, "hall", Room("usb:0"), lambda given=slots: given)
        assert dict(watch.run(threading.Event(), since=START).skipped) == {code: 1}
    write_table(console.home, "cameras", {"hall": "rtsp://10.0.0.7/x", "odd": "http://elsewhere"})
    assert camera_source(console.home, "hall") == "rtsp://10.0.0.7/x"
    for name in ("odd", "none", "../x"):
        with pytest.raises(GaitkeeperError, match="no camera"):
            camera_source(console.home, name)


def test_the_running_watch_starts_its_cameras_and_ends_with_a_signal(console: Console, tmp_path: Path) -> None:
    schedule, told = tmp_path / "schedule.csv", console.home.run / "camera-rehearsal.txt"
    schedule.write_text(HEAD + "hall,2026-05-04T09:00Z,2026-05-04T10:00Z,known,\n")
    write_table(console.home, "cameras", {"rehearsal": f"file:{tmp_path / 'none.mp4'}"})
    with pytest.raises(GaitkeeperError, match="no camera"):
        watch_folders(console, [], schedule, print, every_s=0.05, once=False, cameras=["attic"])
    over = threading.Event()

    def end_when_told() -> None:
        for _ in range(600):
            if told.exists() or over.wait(0.1):
                break
        os.kill(os.getpid(), signal.SIGINT)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    watcher = threading.Thread(target=end_when_told)
    watcher.start()
    try:
        with hold(console.home.run / "console.lock", console.home.path, "console-running"):  # no workers of our own
            watch_folders(console, [], schedule, print, every_s=0.05, once=False, cameras=["rehearsal"])
    finally:
        watcher.join(70.0)
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "frames" in told.read_text()
