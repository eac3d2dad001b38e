"""``site watch`` over many minutes: a camera that breaks off, freezes and comes back, and a folder that fills.

The camera is a real RTSP server on loopback (:mod:`.rtsp_server`), which is killed or stopped every few minutes; the
camera's watching process is killed once. What is looked at: walks kept and passed over, how soon there are frames
again, memory and open files of each process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.page import write_part
from tests.faults.readings import memory_mib, processor_s
from tests.measured import commit

from gaitkeeper_shared.ports import free_port

PYTHON = "/usr/bin/python3"
"""Debian's, which has GStreamer's bindings."""
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
_PROBE = """
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
for part in ("appsrc", "rtpjpegpay"):
    assert Gst.ElementFactory.find(part), f"GStreamer has no {part}"
"""
SIZE, RATE_HZ, HEIGHT_M = (640, 360), 30, 1.7
WALK_S, EMPTY_S = 5.0, 20.0
LOOK_S = 5.0
CUT_EVERY_S, CUT_S = 150.0, 20.0
FILE_EVERY_S = 40.0
FAULTS = ("killed", "frozen")
SEEING_S, SHARE_SEEING = 2.0, 0.04
"""Who looks at frames uses more than such a share of a processor."""
SIXTHS, GROWS = 6, 1.1
"""What is larger by a tenth in the last sixth than in every one before grows."""
LOST_S = 90.0
"""Frames have to come again by then: the deadline of a read, and the pauses between tries."""


@dataclass
class Diary:
    """What was seen. ``back_s``: from a camera's return to its next frame. ``samples``: (part, second, MiB, files)."""

    back_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    samples: list[tuple[str, float, float, int]] = field(default_factory=list)
    handed: int = 0
    told: str = ""
    ended: int | None = None


def main(words: Sequence[str]) -> int:
    """Watch, print, and write the page's part. Exit status 1: it did not come back, or grew; 2: not measured here."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults watch",
        description="'gaitkeeper site watch' on a camera that breaks off and comes back, and on a folder that fills.",
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="for so long (default: %(default).0f)")
    asked = parser.parse_args(words)
    if (missing := missing_packages()) is not None:
        print(f"Not measured: no RTSP server here ({missing}).\nIt needs Debian's packages: apt-get install {PACKAGES}")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: processes and folders go
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-watch-") as folder:
        diary = Watched(Path(folder)).run(asked.minutes * 60.0)
    text, good = _page(diary, asked.minutes)
    write_part("watch", text if good else f"{text}\n\n**WRONG**: not all of this is as it should be.")
    print(text)
    return int(not good)


def missing_packages() -> str | None:
    """Why this machine cannot play a camera, in the words of its own Python; None where it can."""
    try:
        done = subprocess.run([PYTHON, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{PYTHON}: {error}"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


class Watched:
    """The stage: a site, its camera, its folder, and the command that watches both."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._diary = folder, free_port(), Diary()
        self._inbox, self._pictures = folder / "inbox", folder / "pictures"
        self._home = _site(folder / "site", self._port)
        self._inbox.mkdir()
        _pictures(self._pictures)
        self._film = folder / "walk.mp4"
        _film(self._film, self._pictures)
        self._schedule = folder / "schedule.csv"
        now = datetime.now(UTC)
        slot = f"{(now - timedelta(hours=1)).isoformat()},{(now + timedelta(hours=9)).isoformat()}"
        self._schedule.write_text(f"place,from,until,patient,height_m,consent\n,{slot},patient-1,{HEIGHT_M},care\n")
        self._camera: subprocess.Popen[bytes] | None = None

    def run(self, seconds: float) -> Diary:
        """Watch for so long."""
        command = [sys.executable, "-m", "gaitkeeper_shared.cli", "site", "watch", "--home", str(self._home)]
        command += ["--schedule", str(self._schedule), "--camera", "hall", "--folder", str(self._inbox)]
        self._begin_camera()
        with (self._folder / "watch.log").open("wb") as log:
            watch = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                self._play(watch, seconds)
            finally:
                watch.terminate()
                self._diary.ended = watch.wait(60.0)
                self._end_camera()
        self._diary.told = (self._home / "run/camera-hall.txt").read_text("utf-8")
        return self._diary

    def _play(self, watch: subprocess.Popen[bytes], seconds: float) -> None:
        started = time.monotonic()
        cut_at, file_at, killed = CUT_EVERY_S, 10.0, False
        while (now := time.monotonic() - started) < seconds:
            time.sleep(LOOK_S)
            assert watch.poll() is None, (self._folder / "watch.log").read_text()
            self._look(watch.pid, now)
            if now > file_at:
                file_at += FILE_EVERY_S
                self._diary.handed += 1
                # A recorder writes under another name, or slowly: a file counts when it lies still.
                shutil.copyfile(self._film, self._inbox / f"walk-{self._diary.handed}.mp4")
            if now > cut_at and now < seconds - LOST_S:
                cut_at += CUT_EVERY_S
                self._cut(watch.pid)
            if now > seconds / 2 and not killed:
                killed = True
                os.kill(_children(watch.pid)["camera"][0], signal.SIGKILL)
                self._diary.faults.append("its process killed")

    def _cut(self, watch: int) -> None:
        """The camera is away for a while; how soon there are frames again."""
        fault = FAULTS[len(self._diary.back_s) % len(FAULTS)]
        assert self._camera is not None
        if fault == "killed":
            self._end_camera()
            time.sleep(CUT_S)
            self._begin_camera()
        else:
            self._camera.send_signal(signal.SIGSTOP)
            time.sleep(CUT_S)
            self._camera.send_signal(signal.SIGCONT)
        began = time.monotonic()
        while not self._sees(watch) and time.monotonic() - began < LOST_S:
            pass
        self._diary.back_s.append(time.monotonic() - began)
        self._diary.faults.append(fault)

    def _sees(self, watch: int) -> bool:
        """Whether the camera's process looks at frames: over two seconds it works, as a waiting one does not."""
        before = _worked_s(_children(watch)["camera"])
        time.sleep(SEEING_S)
        return _worked_s(_children(watch)["camera"]) - before >= SEEING_S * SHARE_SEEING

    def _begin_camera(self) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        words = [str(self._port), str(self._pictures), str(RATE_HZ), *map(str, SIZE)]
        self._camera = subprocess.Popen([PYTHON, str(script), *words], stdout=subprocess.PIPE)
        assert self._camera.stdout is not None
        assert self._camera.stdout.readline() == b"serving\n"

    def _end_camera(self) -> None:
        if self._camera is not None:
            self._camera.kill()
            self._camera.wait(10.0)
            self._camera = None

    def _look(self, watch: int, now: float) -> None:
        parts = {"watch": [watch], **_children(watch)}
        for part, pids in parts.items():
            for pid in pids:
                try:
                    self._diary.samples.append((part, now, memory_mib(pid), len(_open_files(pid))))
                except (OSError, KeyError):
                    continue  # it ended just now


def _children(parent: int) -> dict[str, list[int]]:
    """The processes of a watch: the camera's, and the workers that analyse files."""
    found: dict[str, list[int]] = {"camera": [], "worker": []}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"\nPPid:\t{parent}\n" in (entry / "status").read_text():
                words = (entry / "cmdline").read_bytes()
                part = "camera" if b"camera_worker" in words else "worker" if b"console.worker" in words else ""
                found.get(part, []).append(int(entry.name))
        except OSError:
            continue
    return found


def _worked_s(pids: Sequence[int]) -> float:
    """Processor time of processes so far, those that have ended just now left out."""
    worked = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            worked += processor_s(pid)
    return worked


def _open_files(pid: int) -> list[str]:
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(str(entry.readlink()))
        except OSError:
            continue
    return names


def _site(folder: Path, port: int) -> Path:
    from gaitkeeper_client.vault.home import SiteHome, create_home, write_table
    from gaitkeeper_client.vault.keys import create_key

    home = SiteHome(folder)
    create_key(home)
    create_home(home, "clinic-watch", "file")
    write_table(home, "cameras", {"hall": f"rtsp://127.0.0.1:{port}/hall"})
    return home.path


def _pictures(folder: Path) -> None:
    """An empty room, somebody who walks through it, an empty room."""
    import cv2
    import numpy as np

    from gaitkeeper_shared.simulation.camera import camera_for
    from gaitkeeper_shared.simulation.patient import draw_patient
    from gaitkeeper_shared.simulation.render import frames
    from gaitkeeper_shared.simulation.walker import Walk

    folder.mkdir()
    walk = Walk(draw_patient("watched", "hemiparetic", 4), WALK_S)
    camera = camera_for(walk.trajectories(100.0).positions, SIZE, "side", "left_to_right")
    seen = list(frames(walk, camera, RATE_HZ))
    empty = np.median(np.stack(seen[::7]), axis=0).astype(np.uint8)
    around = [empty] * round(EMPTY_S * RATE_HZ / 2)
    for number, image in enumerate([*around, *seen, *around]):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _film(path: Path, pictures: Path) -> None:
    """The walk as a file of its own."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, SIZE)
    begin = round(EMPTY_S * RATE_HZ / 2)
    for name in sorted(pictures.iterdir())[begin : begin + round(WALK_S * RATE_HZ)]:
        writer.write(cv2.imread(str(name)))
    writer.release()


def _page(diary: Diary, minutes: float) -> tuple[str, bool]:
    """The part of the page, and whether everything is as it should be."""
    kept = re.findall(r"^(\d+) handed in", diary.told)
    lost = [f"{seconds:.0f}" for seconds in diary.back_s]
    lines = [
        f"{minutes:g} minutes at commit {commit()}, load {os.getloadavg()[2]:.1f}: the camera was away "
        f"{len(diary.back_s)} times for {CUT_S:.0f} s ({', '.join(diary.faults)}). Frames again after "
        f"{', '.join(lost)} s. Files put into the folder: {diary.handed}. The watch ended with status {diary.ended}.",
        "",
        "What the camera's last process told (it counts from its own start):",
        "",
        *(f"    {line}" for line in diary.told.splitlines()),
        "",
        "| process | MiB by sixths of the time | largest | open files, first and last sixth |",
        "| --- | --- | --- | --- |",
    ]
    good = diary.ended == 0 and bool(kept) and int(kept[0]) > 0 and max(diary.back_s, default=0.0) < LOST_S
    for part in dict.fromkeys(part for part, *_ in diary.samples):
        sixths: list[list[tuple[float, int]]] = [[] for _ in range(SIXTHS)]
        for name, at, mib, files in diary.samples:
            if name == part:
                sixths[min(int(at / (minutes * 60.0) * SIXTHS), SIXTHS - 1)].append((mib, files))
        told = [statistics.median(mib for mib, _ in some) for some in sixths if some]
        opened = [statistics.median(files for _, files in some) for some in sixths if some]
        largest = max(mib for some in sixths for mib, _ in some)
        cells = ", ".join(f"{mib:.0f}" for mib in told)
        lines.append(f"| {part} | {cells} | {largest:.0f} | {opened[0]:.0f} and {opened[-1]:.0f} |")
        good = good and (len(told) < SIXTHS or told[-1] < GROWS * max(told[:-1]))
    return "\n".join(lines), good
