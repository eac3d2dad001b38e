"""Keypoint tables: named points over time of one or several individuals, and how they become joints.

DeepLabCut and the CSV files that people write from MediaPipe differ in their headers only; behind the door they are one
:class:`KeypointTable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.readers.people import SHORTEST_TRACK
from gaitkeeper_client.pose.readers.skeletons import joints_of
from gaitkeeper_client.pose.tracking import STEP_AMPLITUDE, count_alternations
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import leg_length
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

NEEDED = tuple(f"{side}_{part}" for part in ("hip", "knee", "ankle") for side in ("left", "right"))


@dataclass(frozen=True, slots=True)
class KeypointTable:
    """Of each individual ``points``, (T, P, 2) pixels with y down, and ``likelihood``, (T, P).

    ``names``: P, as in the file.
    """

    names: tuple[str, ...]
    points: Mapping[str, FloatArray]
    likelihood: Mapping[str, FloatArray]


def walk_of_table(
    kind: str, table: KeypointTable, time_s: FloatArray, path: Path, mapping: Mapping[str, str], height_px: float | None
) -> LabWalk:
    """The walker of a table. ``mapping``: our joint to the file's own name, before what is known by itself.

    Raises ``pose-points-unknown``, ``pose-mapping-wrong`` or ``pose-nobody``.
    """
    names = ", ".join(table.names)
    for joint, name in mapping.items():
        if name not in table.names or joint not in JOINTS:
            raise GaitkeeperError("pose-mapping-wrong", name=f"{joint}={name}", path=path, names=names)
    known = {**joints_of(table.names), **mapping}
    if missing := [joint for joint in NEEDED if joint not in known]:
        raise GaitkeeperError("pose-points-unknown", path=path, missing=", ".join(missing), names=names)
    column = {name: number for number, name in enumerate(table.names)}
    people = []
    for individual, points in table.points.items():
        picked = np.full((points.shape[0], len(JOINTS), 2), np.nan)
        sure = np.zeros((points.shape[0], len(JOINTS)))
        for joint, name in known.items():
            picked[:, JOINT_INDEX[joint]] = points[:, column[name]]
            sure[:, JOINT_INDEX[joint]] = table.likelihood[individual][:, column[name]]
        seen = np.isfinite(picked).all(axis=2) & (sure > 0.0)
        picked[~seen], sure[~seen] = np.nan, 0.0
        people.append((picked, np.clip(sure, 0.0, 1.0)))
    # The file tells its individuals apart over time already; who walks has to be found.
    chosen, confidence = max(people, key=lambda person: _walking(person[0]))
    if np.isfinite(chosen[:, JOINT_INDEX["left_ankle"], 0]).sum() < SHORTEST_TRACK:
        raise GaitkeeperError("pose-nobody", path=path)
    chosen[..., 1] = (height_px or 0.0) - chosen[..., 1]
    return LabWalk(kind, JointTrajectories(time_s, chosen, "px", confidence))


def _walking(points: FloatArray) -> tuple[float, int]:
    """Steps taken, weighted by the way in leg lengths; then how often the person is seen."""
    ankles = points[:, JOINT_INDEX["left_ankle"], 0] - points[:, JOINT_INDEX["right_ankle"], 0]
    seen = np.isfinite(ankles)
    size = leg_length(points)
    if seen.sum() < SHORTEST_TRACK or not size > 0.0:
        return 0.0, 0
    steps = count_alternations(ankles[seen] / size, 2.0 * STEP_AMPLITUDE)
    middle = points[seen][:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    way = float(np.linalg.norm(middle[-1] - middle[0])) / size
    return steps * (0.25 + min(way, 8.0)), int(seen.sum())
