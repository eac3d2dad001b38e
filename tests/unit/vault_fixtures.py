"""A small site with a vault, and recordings that are easy to recognise."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import SiteKey, create_key
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINTS


def make_site(folder: Path) -> tuple[SiteHome, SiteKey]:
    """An initialised site whose key lies in a file."""
    home = SiteHome(folder)
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    return home, key


def make_recording(seed: int, samples: int = 40) -> Recording:
    """A recording of random numbers: what is tested is that they come back."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / 30.0
    positions = rng.normal(size=(samples, len(JOINTS), 2)).astype(np.float32).astype(np.float64)
    trajectories = JointTrajectories(time_s, positions, "m", np.ones((samples, len(JOINTS))))
    signals = Signals(time_s, ("knee_flexion_left",), rng.normal(size=(samples, 1)).astype(np.float32))
    return Recording(trajectories, (GaitEvent(0.5, "left", "foot_strike", 0.9),), signals, {"kind": "test"}, {})


def facts_of(seed: int, file_name: str = "walk.mp4") -> RecordingFacts:
    """Facts of the recording with this seed."""
    return RecordingFacts(hashlib.sha256(str(seed).encode()).hexdigest(), file_name, "2026-01-01T00:00:00+00:00")


def someone(patient_id: str = "patient-1", **values: object) -> PatientFacts:
    """Facts of a patient."""
    return PatientFacts(patient_id, **{"label": "healthy", **values})  # type: ignore[arg-type]


def everything(home: SiteHome) -> bytes:
    """Every byte of a site's home."""
    return b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())


KILLED = """
import os, signal, sys
from pathlib import Path
from gaitkeeper_client.vault import erasure, rotation, store
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import unlock
home, work, stop = SiteHome(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
calls = 0
def trace(frame, event, arg):
    global calls
    if "/vault/" in frame.f_code.co_filename or "durable" in frame.f_code.co_filename:
        if event == "line":
            calls += 1
            if calls == stop:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return None
key = unlock(home)
vault = store.Vault.open(home, key) if work == "erase" else None
sys.settrace(trace)
if work == "erase":
    erasure.erase(home, vault, "patient-1")
else:
    rotation.rotate_key(home, key, None)
sys.settrace(None)
print(calls)
"""


def kill_at(home: SiteHome, work: str, stop: int) -> tuple[int, str]:
    """Do a work in a process that is killed at the line ``stop`` of the vault's code; its status and output."""
    command = [sys.executable, "-c", KILLED, str(home.path), work, str(stop)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout


_LINES: dict[str, int] = {}


def lines_of(home: SiteHome, work: str) -> int:
    """How many lines the work takes, measured once on a copy."""
    if work not in _LINES:
        copy = home.path.with_name("copy")
        shutil.copytree(home.path, copy)
        code, output = kill_at(SiteHome(copy), work, 10**9)
        assert code == 0
        _LINES[work] = int(output)
    return _LINES[work]
