"""A synthetic walker whose thighs, shanks and feet have three axes, as the markers of a full set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.walk import Markers
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk

INNER = ("KneeMedial", "AnkleMedial")
RIGHT = np.array([0.0, -1.0, 0.0])
"""Of who walks along +x, z up."""


def walk(seconds: float = 4.0) -> JointTrajectories:
    """A healthy walk at 100 Hz, metres, z up, along +x."""
    return Walk(draw_patient("somebody", "healthy", 7), seconds).trajectories(100.0)


def turned_in(time_s: FloatArray) -> FloatArray:
    """(T,) degrees by which both thighs are turned inwards against the pelvis."""
    return np.asarray(12.0 * np.sin(2.0 * np.pi * time_s / 1.3))


def full_set(tracks: JointTrajectories, turn_deg: FloatArray) -> dict[str, FloatArray]:
    """(T, 3) metres of each marker: pelvis, clusters on thigh and shank, both sides of knee and ankle, feet."""
    positions = tracks.positions
    middle = 0.5 * (joint(positions, "left_hip") + joint(positions, "right_hip"))
    markers = {}
    for letter, side, out in (("R", "right", 1.0), ("L", "left", -1.0)):
        hip, knee, ankle, heel, toe = (
            joint(positions, f"{side}_{what}") for what in ("hip", "knee", "ankle", "heel", "toe")
        )
        markers[f"{letter}ASI"] = middle + np.array([0.09, -0.115 * out, 0.09])
        markers[f"{letter}PSI"] = middle + np.array([-0.07, -0.045 * out, 0.09])
        markers[f"{letter}HJC"] = hip
        thigh = frame(hip - knee, turn_deg * out)
        shank = frame(knee - ankle, turn_deg * out)
        for name, origin, axes, places in (
            ("Thigh", knee, thigh, ((0.05, 0.2, 0.06), (-0.04, 0.25, 0.07), (0.06, 0.12, -0.02), (0.0, 0.3, 0.08))),
            ("Shank", ankle, shank, ((0.04, 0.2, 0.05), (-0.05, 0.22, 0.04), (0.03, 0.12, -0.03))),
        ):
            for number, place in enumerate(places):
                markers[f"{letter}{name}{number}"] = at(origin, axes, place, out)
        for name, origin, axes in (("Knee", knee, thigh), ("Ankle", ankle, shank)):
            markers[f"{letter}{name}"] = at(origin, axes, (0.0, 0.0, 0.05), out)
            markers[f"{letter}{name}Medial"] = at(origin, axes, (0.0, 0.0, -0.05), out)
        across = np.array([0.0, 0.04 * out, 0.0])
        markers[f"{letter}HEE"] = heel
        markers[f"{letter}MT5"] = toe - across
        markers[f"{letter}MT1"] = toe + across
    return markers


def frame(up: FloatArray, inwards_deg: FloatArray) -> FloatArray:
    """(T, 3, 3) forward, up and right as columns: upright along ``up``, turned about it (positive: front leftwards)."""
    y = up / np.linalg.norm(up, axis=1, keepdims=True)
    z = RIGHT - (y @ RIGHT)[:, None] * y
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    x = np.cross(y, z)
    angle = np.radians(inwards_deg)[:, None]
    return np.stack([np.cos(angle) * x - np.sin(angle) * z, y, np.cos(angle) * z + np.sin(angle) * x], axis=-1)


def at(origin: FloatArray, axes: FloatArray, place: tuple[float, float, float], out: float) -> FloatArray:
    """(T, 3) of a point ``place`` metres forward, up and outwards of an origin."""
    return np.asarray(origin + axes @ (np.array(place) * [1.0, 1.0, out]))


def as_markers(tracks: dict[str, FloatArray], time_s: FloatArray, *, without: tuple[str, ...] = ()) -> Markers:
    """The markers in metres, but those whose names end so."""
    kept = {name: track for name, track in tracks.items() if not name.endswith(without or ("?",))}
    return Markers(time_s, tuple(kept), np.stack(list(kept.values()), axis=1), 1.0)


def standing(path: Path, whole: dict[str, FloatArray]) -> Path:
    """A static trial: the pose of one moment, elsewhere in the room and turned, for half a second."""
    pose = np.stack([track[40] for track in whole.values()])
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    pose = pose @ turn.T + [0.4, -2.0, 0.0]
    still = {name: np.repeat(place[None], 50, axis=0) for name, place in zip(whole, pose, strict=True)}
    write_markers(path, as_markers(still, np.arange(50) / 100.0))
    return path


def write_markers(path: Path, markers: Markers) -> None:
    """As a TRC file, y up, metres."""
    count, names = markers.time_s.size, markers.names
    rate = 1.0 / float(markers.time_s[1] - markers.time_s[0])
    lines = [
        "PathFileType\t4\t(X/Y/Z)\twalk.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate:g}\t{rate:g}\t{count}\t{len(names)}\tm\t{rate:g}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(names) + 1) for axis in "XYZ"),
    ]
    points = np.stack([markers.positions[..., 0], markers.positions[..., 2], -markers.positions[..., 1]], axis=-1)
    for number, (time, row) in enumerate(zip(markers.time_s, points, strict=True), start=1):
        lines.append(f"{number}\t{time:.4f}\t" + "\t".join(f"{value:.6f}" for value in row.ravel()))
    path.write_text("\n".join(lines) + "\n", "utf-8")
