"""Analyses that crash, hang or fail on demand, in a module that worker processes can import."""

from __future__ import annotations

import os
import time

import numpy as np

from gaitkeeper_client.vault.workers import Job, JobResult, Refusal
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals, encode_recording
from gaitkeeper_shared.skeleton import JOINTS


def recording_bytes(samples: int = 30) -> bytes:
    """An encoded recording of the given length."""
    time_s = np.arange(samples) / 30.0
    trajectories = JointTrajectories(time_s, np.ones((samples, len(JOINTS), 2)), "m", np.ones((samples, len(JOINTS))))
    signals = Signals(time_s, ("knee_flexion_left",), np.ones((samples, 1), dtype=np.float32))
    return encode_recording(Recording(trajectories, (), signals, {"kind": "test"}, {}))


def obey(job: Job) -> JobResult:
    """Do what the file says: crash, hang, fail, refuse, or give a recording."""
    word = job.path.read_text().split()[0]
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
