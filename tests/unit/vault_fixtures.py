"""A small site with a vault, and recordings that are easy to recognise."""

from __future__ import annotations

import hashlib
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
