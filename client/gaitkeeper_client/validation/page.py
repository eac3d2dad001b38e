"""The page of a validation: the numbers, and the plots of Bland and Altman."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.gait.planes import PLANES
from gaitkeeper_client.validation.agreement import CurveAgreement
from gaitkeeper_client.validation.charts import curves_chart, differences_chart
from gaitkeeper_client.validation.sources import TRUTH
from gaitkeeper_client.validation.validate import KINDS, Validation
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import ANGLES

_STYLE = Markup("""
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}
th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd}
.wide{overflow-x:auto}td{white-space:nowrap}th{vertical-align:bottom;max-width:9rem}
figure{margin:1rem 0}
th:first-child,td:first-child{text-align:left}svg{width:100%;max-width:40rem;display:block}
.axis{stroke:#888}.mean{stroke:#0b5394;stroke-width:2}.limit{stroke:#0b5394;stroke-dasharray:6 4}
.dot{fill:#c2500a;opacity:.7}
.label{font-size:12px;fill:#333}
.ours{stroke:#c2500a;stroke-width:2;fill:none}.theirs{stroke:#0b5394;stroke-width:2;fill:none;stroke-dasharray:6 3}
.one{stroke:#c2500a;fill:none;opacity:.25}.other{stroke:#0b5394;fill:none;opacity:.25}
.key-ours{font-size:12px;fill:#a8430a}.key-theirs{font-size:12px;fill:#0b5394}
""")

_COLUMNS: dict[str, tuple[str, str]] = {
    "n": ("n", "{:d}"),
    "found": ("found", "{:d}"),
    "false": ("false", "{:d}"),
    "files": ("recordings", "{:d}"),
    "detection_rate": ("detected", "{:.0%}"),
    "precision": ("precision", "{:.0%}"),
    "f1_50ms": ("F1 within 50 ms", "{:.2f}"),
    "bias_ms": ("mean difference, ms", "{:+.1f}"),
    "mae_ms": ("mean size, ms", "{:.1f}"),
    "p95_ms": ("95 % below, ms", "{:.1f}"),
    "loa_ms": ("limits of agreement, ms", "{:+.1f}"),
    "bias": ("mean difference, s", "{:+.3f}"),
    "loa": ("limits of agreement, s", "{:+.3f}"),
    "icc21": ("ICC(2,1)", "{:.2f}"),
    "samples": ("samples", "{:d}"),
    "cycles": ("cycles", "{:d}"),
    "rmse_deg": ("RMS difference, °", "{:.1f}"),
    "offset_deg": ("offset, °", "{:+.1f}"),
    "rmse_without_offset_deg": ("RMS without offset, °", "{:.1f}"),
    "range_difference_deg": ("range of motion, difference, °", "{:+.1f}"),
    "range_loa_deg": ("its limits of agreement, °", "{:+.1f}"),
    "range_icc21": ("its ICC(2,1)", "{:.2f}"),
}
"""How a number of the document is called here, with its unit, and how it is written."""
_ROWS = {
    "foot_strike": "foot strikes",
    "foot_off": "foot offs",
    "stance_s": "stance times",
    "stride_s": "stride times",
}
_MEANING = (
    "Every difference is ours minus the reference's. Limits of agreement: the mean difference and 1.96 standard "
    "deviations to either side (Bland & Altman 1986, doi:10.1016/S0140-6736(86)90837-8). ICC(2,1): absolute "
    "agreement, 1 is perfect (Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420). Detected: share of the "
    "reference's events that were found; precision: of ours, those that the reference has; F1: the harmonic mean of "
    "both, where only what is within 50 ms counts. A dash: too few pairs to tell."
)
_HIP = (
    "Hip: ours is the thigh against the trunk, a laboratory's the thigh against the pelvis. Their offset is mostly how "
    "the pelvis is tilted."
)
_PLANES = (
    "Positive: flexion, dorsiflexion, adduction (at the knee varus), inversion, rotation inwards; of the pelvis a tilt "
    "forward, its own side higher, its own side in front. Where Plug-in Gait wrote the segments' axes into the file, "
    "both angles are of the same axes: then their agreement is that of the arithmetic, and none of a measurement."
)


def write_validation(folder: Path, results: Sequence[Validation], document: Mapping[str, Any]) -> None:
    """Write ``validation.json`` and ``validation.html``, each whole or not at all. Raises ``validation-unwritable``."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "validation.json", text.encode("utf-8"))
        write_durably(folder / "validation.html", page(results, document).encode("utf-8"))
    except OSError as error:
        raise GaitkeeperError("validation-unwritable", path=folder, detail=error.strerror or str(error)) from error


def page(results: Sequence[Validation], document: Mapping[str, Any]) -> str:
    """The page as HTML that needs nothing from outside."""
    parts = [Markup("<h1>Validation</h1>"), _said(_of(results)), _table("event", {k: document[k] for k in KINDS})]
    parts += [_said(_MEANING), _references(document["references"])]
    for kind, title in (("foot_strike", "Foot strikes"), ("foot_off", "Foot offs")):
        errors = [error for one in results for error in one.events[kind].errors_ms]
        parts.append(differences_chart(title, np.arange(1.0, len(errors) + 1.0), np.array(errors), "event", "ms"))
    for name, title in (("stance_s", "Stance times"), ("stride_s", "Stride times")):
        ours = np.array([value for one in results for value in one.durations[name].ours])
        theirs = np.array([value for one in results for value in one.durations[name].reference])
        parts.append(
            differences_chart(title, 500.0 * (ours + theirs), 1000.0 * (ours - theirs), "mean of both, ms", "ms")
        )
    parts.append(_table("quantity", document["durations"]))
    if any(row["n"] for row in document["laboratory_events"].values()):
        title = Markup("<h2>The laboratory's own events in the same recordings</h2>")
        parts += [title, _table("event", document["laboratory_events"])]
    if document["angles"]:
        parts += [Markup("<h2>Joint angles, degrees</h2>"), _table("angle", document["angles"])]
        if any(name.startswith("hip") for name in document["angles"]) and {one.reference for one in results} != {TRUTH}:
            parts.append(_said(_HIP))
        parts += [curves_chart(name, _cycles([one.angles for one in results], name)) for name in document["angles"]]
    if document["planes"]:
        title = Markup("<h2>Joint angles in three planes, of segments with three axes, degrees</h2>")
        parts += [title, _table("angle", document["planes"]), _said(_PLANES)]
        parts += [curves_chart(name, _cycles([one.planes for one in results], name)) for name in document["planes"]]
    parts.append(Markup("<h2>Recordings</h2>"))
    rows = {one.name: {"reference": one.reference, "events by": one.method, "analysis": one.status} for one in results}
    parts.append(_table("recording", rows))
    notes = [f"{one.name}: {note}" for one in results for note in one.notes]
    notes += [f"{one['name']} was left out: {one['why']}" for one in document["left_out"]]
    parts += [_said(note) for note in notes]
    head = Markup('<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Validation</title><style>')
    return str(head + _STYLE + Markup("</style></head><body>") + Markup("").join(parts) + Markup("</body></html>"))


def _said(text: str) -> Markup:
    return Markup("<p>{}</p>").format(text)


def _of(results: Sequence[Validation]) -> str:
    """What is held against what."""
    sources = " and ".join(sorted({one.reference for one in results}))
    what = results[0].name if len(results) == 1 else f"{len(results)} recordings"
    return f"{what}, against {sources}."


def _references(references: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Each kind of reference by itself, where there are several: agreement with marks must not pass for accuracy."""
    if len(references) < 2:
        return Markup("")
    rows = {f"{name}, {_ROWS[kind]}": row[kind] for name, row in references.items() for kind in KINDS}
    return Markup("<h2>Each reference by itself</h2>") + _table("reference, event", rows)


def _cycles(results: Sequence[Mapping[str, CurveAgreement]], name: str) -> FloatArray:
    return np.concatenate([one[name].cycles for one in results if name in one])


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> Markup:
    if not rows:
        return Markup("")
    columns = list(next(iter(rows.values())))
    heads = [first, *(_COLUMNS[column][0] if column in _COLUMNS else column for column in columns)]
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in heads)
    body = Markup("").join(
        Markup("<tr><td>{}</td>{}</tr>").format(
            _row_title(name),
            Markup("").join(Markup("<td>{}</td>").format(_cell(column, row.get(column))) for column in columns),
        )
        for name, row in rows.items()
    )
    return Markup('<div class="wide"><table><tr>{}</tr>{}</table></div>').format(head, body)


def _row_title(name: str) -> str:
    """An angle's name with its side behind, what an event or a time is called, or a recording's own name."""
    angle, _, side = name.rpartition("_")
    return f"{angle.replace('_', ' ')}, {side}" if angle in {*ANGLES, *PLANES} else _ROWS.get(name, name)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if column not in _COLUMNS:
        return str(value)
    written = _COLUMNS[column][1]
    return " to ".join(written.format(one) for one in (value if isinstance(value, list) else [value]))
