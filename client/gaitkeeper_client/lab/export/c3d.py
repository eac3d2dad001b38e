"""C3D, written with ezc3d: joints as markers in millimetres, sagittal angles as Vicon keeps them, events with sides."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_client.lab.export.content import MARKERS, ExportContent
from gaitkeeper_shared.skeleton import JOINTS

_MEMORY = "/dev/shm"  # noqa: S108 - a private folder is made in it
_ANGLES = {"hip_flexion": "HipAngles", "knee_flexion": "KneeAngles", "ankle_dorsiflexion": "AnkleAngles"}
_LABELS = {"foot_strike": "Foot Strike", "foot_off": "Foot Off"}


def c3d_bytes(content: ExportContent) -> bytes:
    """One C3D file. Of an angle, x is the flexion in degrees; y and z are 0, being unknown in one plane."""
    import ezc3d

    tracks = {MARKERS[JOINTS[number]]: content.joints[:, number] * 1000.0 for number in content.seen()}
    angles = {}
    for name, label in _ANGLES.items():
        for side in ("left", "right"):
            curve = content.angles.get(f"{name}_{side}")
            if curve is not None and np.isfinite(curve).any():
                unknown = np.where(np.isfinite(curve), 0.0, np.nan)
                angles[side[0].upper() + label] = np.stack([curve, unknown, unknown], axis=1)
    file = ezc3d.c3d()
    points = np.ones((4, len(tracks) + len(angles), content.time_s.size))
    points[:3] = np.stack([*tracks.values(), *angles.values()], axis=0).transpose(2, 0, 1)
    parameters = file["parameters"]["POINT"]
    parameters["RATE"]["value"] = [content.rate_hz]
    parameters["LABELS"]["value"] = [*tracks, *angles]
    parameters["UNITS"]["value"] = ["mm"]
    if angles:
        file.add_parameter("POINT", "ANGLES", list(angles))
        file.add_parameter("POINT", "ANGLE_UNITS", ["deg"])
    file["data"]["points"] = points
    for event in content.events:
        if event.time_s >= 0.0:
            minutes, seconds = divmod(event.time_s, 60.0)
            file.add_event([minutes, seconds], event.side.title(), _LABELS[event.type])
    if content.status:
        file.add_parameter("GAITKEEPER", "REPORT_STATUS", [content.status])
    return _written(file)


def _written(file: Any) -> bytes:
    """The library writes to a path alone: one that only this account can open, in memory where the system has that."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        path = Path(folder) / "walk.c3d"
        file.write(str(path))
        return path.read_bytes()
