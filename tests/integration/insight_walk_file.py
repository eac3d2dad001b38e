"""A synthetic walk as a BVH file, as a laboratory would export it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

RATE_HZ = 60.0
_NAMES = ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("toe", "Toes"), ("shoulder", "Arm"), ("wrist", "Hand")
_PARENT = {"hip": "", "knee": "hip", "ankle": "knee", "toe": "ankle", "shoulder": "", "wrist": "shoulder"}
_REST = {"hip": (0, 0, 9), "knee": (0, -42, 0), "ankle": (0, -42, 0), "toe": (18, -6, 0), "shoulder": (0, 50, 18)}
_MOVES = "CHANNELS 3 Xposition Yposition Zposition"


def write_walk(path: Path, *, disorder: str = "healthy", seed: int = 1, seconds: float = 9.0) -> None:
    """Write the walk in centimetres, y up; joints move by position, the foot turns too so that the heel follows it."""
    tracks = Walk(draw_patient("x", disorder, seed), seconds).trajectories(RATE_HZ)  # type: ignore[arg-type]
    points = 100.0 * tracks.positions[:, :, [0, 2, 1]]
    root = 0.5 * (points[:, JOINT_INDEX["left_hip"]] + points[:, JOINT_INDEX["right_hip"]])
    hierarchy, columns = [f"HIERARCHY\nROOT Hips {{ OFFSET 0 0 0 {_MOVES}"], [root]
    for side in ("left", "right"):
        for chain in (("hip", "knee", "ankle", "toe"), ("shoulder", "wrist")):
            for what in chain:
                name = side.capitalize() + dict(_NAMES)[what]
                offset = " ".join(map(str, _REST.get(what, (0, -50, 0))))
                turn = " Zrotation" if what == "ankle" else ""
                channels = _MOVES.replace("3", "4") + turn if turn else _MOVES
                hierarchy.append(f"JOINT {name} {{ OFFSET {offset} {channels}")
                columns.append(_local(points, root, side, what))
                if turn:
                    columns.append(np.degrees(_pitch(points, side))[:, None])
            hierarchy.append("}" * len(chain))
    hierarchy.append("}")
    values = np.concatenate(columns, axis=1)
    head = f"MOTION\nFrames: {values.shape[0]}\nFrame Time: {1.0 / RATE_HZ:.9f}"
    lines = [" ".join(f"{value:.5f}" for value in row) for row in values]
    path.write_text("\n".join([*(line.replace("}", " } ") for line in hierarchy), head, *lines]) + "\n", "ascii")


def _local(points: FloatArray, root: FloatArray, side: str, what: str) -> FloatArray:
    """(T, 3) position in the parent's frame."""
    own = points[:, JOINT_INDEX[f"{side}_{what}"]]
    if not _PARENT[what]:
        return own - root
    step = own - points[:, JOINT_INDEX[f"{side}_{_PARENT[what]}"]]
    if what != "toe":
        return step
    cosine, sine = np.cos(_pitch(points, side)), np.sin(_pitch(points, side))
    return np.stack([cosine * step[:, 0] + sine * step[:, 1], -sine * step[:, 0] + cosine * step[:, 1], step[:, 2]], 1)


def _pitch(points: FloatArray, side: str) -> FloatArray:
    """(T,) turn of the foot from its rest, radians."""
    foot = points[:, JOINT_INDEX[f"{side}_toe"]] - points[:, JOINT_INDEX[f"{side}_ankle"]]
    x, y, _ = _REST["toe"]
    return np.arctan2(foot[:, 1], foot[:, 0]) - np.arctan2(y, x)
