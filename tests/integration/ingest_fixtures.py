"""Analyses that crash, hang or fail on demand, in a module that worker processes can import."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from gaitkeeper_client.vault.workers import Job, JobResult, Refusal
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals, encode_recording
from gaitkeeper_shared.skeleton import JOINTS

MEETING_S = 30.0
"""Who waits for longer waits for nobody: spawning a process takes a second or two."""


def recording_bytes(samples: int = 30) -> bytes:
    """An encoded recording of the given length."""
    time_s = np.arange(samples) / 30.0
    trajectories = JointTrajectories(time_s, np.ones((samples, len(JOINTS), 2)), "m", np.ones((samples, len(JOINTS))))
    signals = Signals(time_s, ("knee_flexion_left",), np.ones((samples, 1), dtype=np.float32))
    return encode_recording(Recording(trajectories, (), signals, {"kind": "test"}, {}))


def obey(job: Job) -> JobResult:
    """Do what the file says: crash, hang, fail, refuse, meet the others, or give a recording."""
    word = job.path.read_text().split()[0]
    if word == "meet":
        _meet(job.path)
    if word == "crash":
        os.kill(os.getpid(), 11)
    if word == "hang":
        time.sleep(600)
    if word == "fail":
        return JobResult(job.number, error=GaitkeeperError("lab-file-unreadable", path=job.path, detail="no"))
    if word == "refuse":
        return JobResult(job.number, refusals=(Refusal("not-walking", "Nobody walks."),))
    if word == "large":
        return JobResult(job.number, recording_bytes(3000))
    return JobResult(job.number, recording_bytes())


def _meet(path: Path) -> None:
    """Sign the list beside the file with this process' number, and wait until as many as there are cores did so."""
    path.with_suffix(".signed").write_text(str(os.getpid()))
    given_up = path.parent / "given-up"  # by one of them: then nobody else need wait for as long
    deadline = time.monotonic() + MEETING_S
    while len(signatures(path.parent)) < len(os.sched_getaffinity(0)) and not given_up.exists():
        if time.monotonic() > deadline:
            given_up.touch()
        time.sleep(0.02)


def signatures(folder: Path) -> set[str]:
    """The processes that worked on the files of a folder that say ``meet``."""
    return {text for one in folder.glob("*.signed") if (text := one.read_text())}
