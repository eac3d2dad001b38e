"""Formats that are text: TRC, MOT and CSV."""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.lab.export.content import MARKERS, ExportContent
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import midpoint
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

PELVIS_ABOVE_HIPS, PELVIS_BEFORE_HIPS = 0.066, 0.071
"""Of the pelvis' origin in OpenSim's gait2392, in metres."""

LEAST_WAY_M = 0.5
"""A shorter way is a shift on a belt, and tells no heading."""


def trc_text(content: ExportContent, name: str) -> str:
    """TRC: markers in metres, x forward, y up, z to the right."""
    seen = content.seen()
    markers = [MARKERS[JOINTS[number]] for number in seen]
    frames, rate = content.time_s.size, _number(content.rate_hz)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{len(markers)}\tm\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(markers) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(markers) + 1) for axis in "XYZ"),
        "",
    ]
    points = _y_up(content.joints[:, seen]).reshape(frames, -1)
    for row, seconds in enumerate(content.time_s):
        lines.append("\t".join([str(row + 1), _number(seconds), *(_cell(value) for value in points[row])]))
    return "\n".join(lines) + "\n"


def mot_text(content: ExportContent) -> str:
    """MOT: joint angles under OpenSim's names, in degrees, and the way of the pelvis.

    The pelvis is taken to stand upright (it cannot be seen in our joints): the hip's flexion is that of the thigh
    against the vertical, and the trunk's lean is the lumbar joint's.
    """
    unknown = np.full(content.time_s.size, np.nan)
    lean = content.angles.get("trunk_lean", unknown)
    heading = _heading(content)
    hips = _y_up(midpoint(content.joints, "hip"))
    columns = {
        "time": content.time_s,
        "pelvis_tilt": np.zeros(content.time_s.size),
        "pelvis_rotation": np.full(content.time_s.size, np.degrees(heading)),
        "pelvis_tx": hips[:, 0] + PELVIS_BEFORE_HIPS * np.cos(heading),
        "pelvis_ty": hips[:, 1] + PELVIS_ABOVE_HIPS,
        "pelvis_tz": hips[:, 2] - PELVIS_BEFORE_HIPS * np.sin(heading),
        "lumbar_extension": -lean,
    }
    for side in SIDES:
        flexion = content.angles.get(f"hip_flexion_{side}", unknown) - lean
        columns[f"hip_flexion_{side[0]}"] = np.where(np.isfinite(flexion), flexion, _thigh(content, side, heading))
        columns[f"knee_angle_{side[0]}"] = content.angles.get(f"knee_flexion_{side}", unknown)
        columns[f"ankle_angle_{side[0]}"] = content.angles.get(f"ankle_dorsiflexion_{side}", unknown)
    # Only the straight walk has angles; OpenSim knows no gaps.
    known = np.isfinite(columns["knee_angle_l"]) & np.isfinite(columns["knee_angle_r"])
    inside = np.flatnonzero(known)
    # Nor does it know columns of nothing: a coordinate that is left out stays at the model's own value.
    columns = {name: curve for name, curve in columns.items() if np.isfinite(curve[known]).any() or not inside.size}
    rows = (
        np.stack(list(columns.values()), axis=1)[inside[0] : inside[-1] + 1]
        if inside.size
        else np.empty((0, len(columns)))
    )
    title = f"gaitkeeper {content.status}".rstrip()
    lines = [title, "version=1", f"nRows={len(rows)}", f"nColumns={len(columns)}", "inDegrees=yes", "endheader"]
    lines.append("\t".join(columns))
    lines += ["\t".join(_number(value) for value in row) for row in rows]
    return "\n".join(lines) + "\n"


def _thigh(content: ExportContent, side: str, heading: float) -> FloatArray:
    """(T,) degrees of the thigh before the vertical: the hip's flexion under an upright pelvis."""
    thigh = content.joints[:, JOINT_INDEX[f"{side}_knee"]] - content.joints[:, JOINT_INDEX[f"{side}_hip"]]
    forward = thigh[:, 0] * np.cos(heading) + thigh[:, 1] * np.sin(heading)
    return np.asarray(np.degrees(np.arctan2(forward, -thigh[:, 2])))


def _heading(content: ExportContent) -> float:
    """Radians from x towards y of the way of the hips while angles are known; of the feet where they stay in place."""
    curves = [curve for curve in content.angles.values() if np.isfinite(curve).any()]
    inside = np.isfinite(curves[0]) if curves else np.ones(content.time_s.size, dtype=bool)
    joints = content.joints[inside]
    hips = midpoint(joints, "hip")[:, :2]
    hips = hips[np.isfinite(hips).all(axis=1)]
    way = hips[-1] - hips[0] if len(hips) else np.zeros(2)
    if float(np.hypot(*way)) < LEAST_WAY_M:
        feet = (midpoint(joints, "toe") - midpoint(joints, "heel"))[:, :2]
        feet = feet[np.isfinite(feet).all(axis=1)]
        way = feet.mean(axis=0) if len(feet) else np.zeros(2)
    return float(np.arctan2(way[1], way[0]))


def csv_text(content: ExportContent) -> str:
    """CSV: time, joints in metres (z up), angles in degrees; an event's moment stands in the nearest sample's row.

    The walk of a report has how that stands in a first column, in every row, as its tables have.
    """
    seen = content.seen()
    columns = {"time_s": content.time_s}
    for number in seen:
        for axis in range(3):
            columns[f"{JOINTS[number]}_{'xyz'[axis]}_m"] = content.joints[:, number, axis]
    columns |= {f"{name}_deg": curve for name, curve in content.angles.items()}
    for side in SIDES:
        for kind in ("foot_strike", "foot_off"):
            times = [event.time_s for event in content.events if (event.side, event.type) == (side, kind)]
            columns[f"{kind}_{side}_s"] = _on_samples(content, times)
    rows = np.stack(list(columns.values()), axis=1)
    head, mark = ("report_status,", f"{content.status},") if content.status else ("", "")
    lines = [head + ",".join(columns), *(mark + ",".join(_cell(value) for value in row) for row in rows)]
    return "\n".join(lines) + "\n"


def _on_samples(content: ExportContent, times: list[float]) -> FloatArray:
    """(T,) the moment of an event in the row of the sample that it is nearest to, NaN elsewhere."""
    out = np.full(content.time_s.size, np.nan)
    for time_s in times:
        out[int(np.clip(round(time_s * content.rate_hz), 0, out.size - 1))] = time_s
    return out


def _y_up(points: FloatArray) -> FloatArray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _cell(value: float) -> str:
    return _number(value) if np.isfinite(value) else ""


def _number(value: float) -> str:
    return f"{value:.7g}" if np.isfinite(value) else "nan"
