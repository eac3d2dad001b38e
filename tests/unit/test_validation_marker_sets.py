"""One walk as five laboratories would name it, in their axes, units and directions: the same events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from events_fixtures import agreement, recorded

from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.lab.joints import to_trajectories
from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories

OUTWARDS = {"l": 1.0, "r": -1.0}
PELVIS = {"asi": (0.09, 0.115, 0.09), "psi": (-0.07, 0.045, 0.11)}
"""Metres forward, outwards and up of the spines from between the hips."""

# Each set: where a marker is (joint, metres forward, outwards and up of it) under its name; {s} is l or r.
SETS: dict[str, Mapping[str, tuple[str, float, float, float]]] = {
    "Anna:{s}%s plug-in gait": {"KNE": ("knee", 0, 0.05, 0), "ANK": ("ankle", 0, 0.04, 0)}
    | {"HEE": ("heel", 0, 0, 0.02), "TOE": ("toe", -0.02, 0, 0.02), "ASI": ("asi", 0, 0, 0), "PSI": ("psi", 0, 0, 0)},
    "{s}.%s fukuchi": {"Knee": ("knee", 0, 0.05, 0), "Ankle": ("ankle", 0, 0.04, 0), "Heel": ("heel", 0, 0, 0.02)}
    | {"MT1": ("toe", 0, -0.04, 0.02), "MT5": ("toe", -0.03, 0.04, 0.02), "GTR": ("hip", 0, 0.1, 0)}
    | {"ASIS": ("asi", 0, 0, 0), "PSIS": ("psi", 0, 0, 0)},
    "{s}.%s helen hayes": {"Knee": ("knee", 0, 0.05, 0), "Ankle": ("ankle", 0, 0.04, 0), "ASIS": ("asi", 0, 0, 0)}
    | {"Heel": ("heel", 0, 0, 0.02), "Toe": ("toe", -0.02, 0, 0.02)},
    "{s}%s cgm2": {"KNE": ("knee", 0, 0.05, 0), "KNM": ("knee", 0, -0.05, 0), "ANK": ("ankle", 0, 0.04, 0)}
    | {"MED": ("ankle", 0, -0.04, 0), "HEE": ("heel", 0, 0, 0.02), "FMH": ("toe", 0, -0.04, 0.02)}
    | {"VMH": ("toe", -0.03, 0.04, 0.02), "ASI": ("asi", 0, 0, 0), "PSI": ("psi", 0, 0, 0)},
    "{s}%s rizzoli": {"LE": ("knee", 0, 0.05, 0), "ME": ("knee", 0, -0.05, 0), "LM": ("ankle", 0, 0.04, 0)}
    | {"MM": ("ankle", 0, -0.04, 0), "CA": ("heel", 0, 0, 0.02), "FM": ("toe", 0, -0.04, 0.02)}
    | {"SM": ("toe", 0, 0, 0.02), "VM": ("toe", -0.03, 0.04, 0.02), "ASIS": ("asi", 0, 0, 0), "PSIS": ("psi", 0, 0, 0)},
}
AXES = {
    "z up, along +y": np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "z up, along -x": np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
    "y up, along +x": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "y up, along -z": np.array([[0, 1, 0], [0, 0, 1], [-1, 0, 0]]),
    "z up, along +x": np.eye(3),
}


def markers_of(walk: JointTrajectories, key: str, axes: FloatArray, unit_m: float) -> Markers:
    pattern = key.split(" ")[0]
    between = 0.5 * (joint(walk.positions, "left_hip") + joint(walk.positions, "right_hip"))
    tracks: dict[str, FloatArray] = {}
    for s, side in (("l", "left"), ("r", "right")):
        for name, (where, *offset) in SETS[key].items():
            base = between + np.array(PELVIS[where]) * [1, OUTWARDS[s], 1] if where in PELVIS else None
            base = joint(walk.positions, f"{side}_{where}") if base is None else base
            tracks[pattern.format(s=s.upper()) % name] = base + np.array(offset) * [1, OUTWARDS[s], 1]
    if "helen" in key:
        tracks["V.Sacral"] = between + np.array([-0.07, 0.0, 0.11])
    positions = np.stack(list(tracks.values()), axis=1) @ axes.T / unit_m
    return Markers(walk.time_s, tuple(tracks), positions, unit_m)


@pytest.mark.parametrize(
    ("key", "axes", "unit_m"), list(zip(SETS, AXES, (0.001, 0.001, 1.0, 0.001, 0.01), strict=True))
)
def test_the_same_events_under_other_names(key: str, axes: str, unit_m: float) -> None:
    walk, truth = recorded("healthy", rate_hz=100.0, noise_m=0.0005)
    trajectories, _ = to_trajectories(markers_of(walk, key, AXES[axes], unit_m), Path("walk.c3d"))
    analysis = analyse(trajectories, source={})
    assert analysis.status == "analysed"
    for kind, one in agreement(analysis.events, truth).items():
        row = one.to_json()
        assert (row["found"], row["false"], row["f1_50ms"]) == (row["n"], 0, 1.0), kind
