"""The page of a validation: the numbers, and the plots of Bland and Altman."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.validation.agreement import limits_of_agreement
from gaitkeeper_client.validation.validate import Validation
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

WIDTH, HEIGHT, LEFT, BOTTOM = 560.0, 240.0, 60.0, 36.0
_STYLE = Markup("""
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd}
.wide{overflow-x:auto}td{white-space:nowrap}th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left}svg{width:100%;max-width:40rem;display:block}
.axis{stroke:#888}.mean{stroke:#0b5394;stroke-width:2}.limit{stroke:#0b5394;stroke-dasharray:6 4}
.dot{fill:#c2500a;opacity:.7}
.label{font-size:12px;fill:#333}
""")


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
    parts = [Markup("<h1>Validation</h1>"), _table("event", {k: document[k] for k in ("foot_strike", "foot_off")})]
    for kind, title in (("foot_strike", "Foot strikes"), ("foot_off", "Foot offs")):
        errors = [error for one in results for error in one.events[kind].errors_ms]
        parts.append(_differences(title, np.arange(1, len(errors) + 1), np.array(errors), "event", "ms"))
    for name, title in (("stance_s", "Stance times"), ("stride_s", "Stride times")):
        ours = np.array([value for one in results for value in one.durations[name].ours])
        theirs = np.array([value for one in results for value in one.durations[name].reference])
        parts.append(_differences(title, 500.0 * (ours + theirs), 1000.0 * (ours - theirs), "mean of both, ms", "ms"))
    parts.append(_table("quantity", document["durations"]))
    if any(row["n"] for row in document["laboratory_events"].values()):
        title = Markup("<h2>The laboratory's own events in the same recordings</h2>")
        parts += [title, _table("event", document["laboratory_events"])]
    if document["angles"]:
        parts += [Markup("<h2>Joint angles, degrees</h2>"), _table("angle", document["angles"])]
    parts.append(Markup("<h2>Recordings</h2>"))
    rows = {one.name: {"reference": one.reference, "events by": one.method, "analysis": one.status} for one in results}
    parts.append(_table("recording", rows))
    notes = [f"{one.name}: {note}" for one in results for note in one.notes]
    notes += [f"{one['name']} was left out: {one['why']}" for one in document["left_out"]]
    parts += [Markup("<p>{}</p>").format(note) for note in notes]
    head = Markup('<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Validation</title><style>')
    return str(head + _STYLE + Markup("</style></head><body>") + Markup("").join(parts) + Markup("</body></html>"))


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> Markup:
    if not rows:
        return Markup("")
    columns = list(next(iter(rows.values())))
    head = Markup("").join(Markup("<th>{}</th>").format(name.replace("_", " ")) for name in [first, *columns])
    body = Markup("").join(
        Markup("<tr><td>{}</td>{}</tr>").format(
            name, Markup("").join(Markup("<td>{}</td>").format(_cell(row.get(column))) for column in columns)
        )
        for name, row in rows.items()
    )
    return Markup('<div class="wide"><table><tr>{}</tr>{}</table></div>').format(head, body)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return " to ".join(f"{one:g}" for one in value) if isinstance(value, list) else str(value)


def _differences(title: str, across: Any, differences: Any, label: str, unit: str) -> Markup:
    """A plot of differences with their mean and limits of agreement; empty for fewer than two."""
    heading = Markup("<h2>{}: ours minus the reference's</h2>").format(title)
    if differences.size < 2:
        return heading + Markup("<p>Fewer than two pairs.</p>")
    limits = limits_of_agreement(differences)
    span = max(1.0, float(np.abs(np.concatenate([differences, np.array(limits)])).max())) * 1.1
    low, high = float(across.min()), float(across.max())
    pad = 0.05 * (high - low) or 1.0
    x = Axis(low - pad, high + pad, LEFT, WIDTH - 10.0)
    y = Axis(-span, span, HEIGHT - BOTTOM, 10.0)
    mean = float(differences.mean())
    canvas = Canvas(WIDTH, HEIGHT, title, f"{differences.size} differences, mean {mean:.1f} {unit}")
    canvas.line(LEFT, y(0.0), WIDTH - 10.0, y(0.0), "axis")
    canvas.line(LEFT, y(mean), WIDTH - 10.0, y(mean), "mean")
    for limit in limits:
        canvas.line(LEFT, y(limit), WIDTH - 10.0, y(limit), "limit")
    for at, value in zip(across, differences, strict=True):
        canvas.add("circle", cx=x(float(at)), cy=y(float(value)), r=3.0, cls="dot", title=f"{value:.1f} {unit}")
    for value in (-span / 1.1, 0.0, span / 1.1):
        canvas.text(LEFT - 6.0, y(value) + 4.0, f"{value:.0f} {unit}", anchor="end")
    canvas.text(0.5 * (LEFT + WIDTH), HEIGHT - 8.0, label, anchor="middle")
    return heading + Markup("<figure>") + canvas.render() + Markup("</figure>")
