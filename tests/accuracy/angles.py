"""Joint angles against the laboratories' own models: in the walk's plane, and in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.accuracy.tables import DATA, table

from gaitkeeper_client.gait.planes import PLANES
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.validation.agreement import CurveAgreement
from gaitkeeper_client.validation.validate import Said, Validation, validate_file
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import ANGLES
from gaitkeeper_shared.skeleton import SIDES

OWN = "angles of the file"
PLUG_IN, OPENSIM = "Plug-in Gait (angles of the file)", "OpenSim (inverse kinematics)"
STATIC = DATA / "opencap-subject4/MarkerData/static1.trc"
CALIBRATED = Said(ReadOptions(static=STATIC))


def planar(walks: Sequence[tuple[Path, str, Validation]]) -> str:
    """Of each walk, by recording and reference, that has angles to compare with."""
    rows = []
    for path, reference, one in walks:
        if not one.angles:
            continue
        cells = []
        for angle in ANGLES:
            both = [one.angles[name].to_json() for side in SIDES
                    if (name := f"{angle}_{side}") in one.angles]  # fmt: skip
            cells += [_mean(both, "rmse_deg"), _mean(both, "rmse_without_offset_deg")]
        named = reference if reference.endswith((".mot", ".sto")) else OWN
        rows.append([path.name, named, *cells])
    heads = [head for angle in ANGLES for head in (angle.replace("_", " "), "without offset")]
    return (
        "## Joint angles of every walk that has some to compare with\n\n"
        "Root mean square difference in degrees, mean of both sides; the second is what is left when the constant "
        "difference of the\ntwo definitions is taken off. The references are the laboratories' own models.\n\n"
        + table(("recording", "reference", *heads), rows)
    )


def _mean(rows: Sequence[dict[str, float | int | None]], key: str) -> str:
    known = [value for row in rows if (value := row[key]) is not None]
    return f"{np.mean(known):.2f}" if known else "-"


def spatial(walks: Sequence[Path]) -> str:
    """Angles of segments with three axes, by model: Plug-in Gait's in the files, OpenSim's of OpenCap's walks."""
    models: dict[str, list[Validation]] = {PLUG_IN: [], OPENSIM: []}
    for path in walks:
        model = path.parents[1] / "IK" / f"{path.stem}_ik.mot"
        beside = model.exists()
        try:
            one = validate_file(path, model, said=CALIBRATED) if beside else validate_file(path)
        except GaitkeeperError:
            continue
        models[OPENSIM if beside else PLUG_IN].append(one)
    rows = []
    for title, done in models.items():
        for name in PLANES:
            own = [[one.planes[key] for side in SIDES if (key := f"{name}_{side}") in one.planes] for one in done]
            if both := [curve for curves in own for curve in curves]:
                rows.append([title, name.replace("_", " "), str(sum(map(bool, own))), *_cells(both)])
    return (
        "## Joint angles in three planes\n\n"
        "Of walks whose markers give pelvis, thigh, shank and foot three axes. Plug-in Gait's files hold its own axes, "
        "which are taken:\nthe angles of hip, knee and ankle are to be the same, and are. Its pelvis is turned in "
        "another order, and against the\nlaboratory's axes. OpenSim's model has its own axes, a knee that only bends "
        f"and a pelvis that is upright in its neutral pose;\nthe inner markers are put back from {STATIC.name}. Root "
        "mean square difference in degrees, mean over walks and sides; the\nsecond without the constant difference.\n\n"
        + table(("model", "angle", "walks", "all", "without offset"), rows)
    )


def _cells(both: Sequence[CurveAgreement]) -> list[str]:
    rows = [one.to_json() for one in both]
    return [_mean(rows, "rmse_deg"), _mean(rows, "rmse_without_offset_deg")]
