"""The explanation as a picture: joints down, the gait cycle across, colour for what each cell adds to the label.

Over the cells of a joint lie the mean curves of what the model reads of it there: the patient's, and the reference
walk's, both in the row's own scale. Dots mark the tenth of the cells with most relevance after temporal saliency
rescaling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.findings import PHASE_BINS, Explanation, HeatmapRow, Highlight, MeanCurve, Rescaling
from gaitkeeper_client.insight.wording import channel_name, joint_name, number, place
from gaitkeeper_client.language.texts import say

WIDTH = 400.0
LEFT, RIGHT, TOP, ROW = 48.0, 386.0, 24.0, 36.0
MARGIN = 5.0
"""Between a row's curves and its edges."""
STEP = 100.0 / PHASE_BINS
RELEVANT_SHARE = 0.1
_UNITS = {"deg": ("°", 0), "leg": (f" {say('measures.legs')}", 2), "leg/s": (f" {say('measures.legs_s')}", 2)}
HEADINGS = {"left": say("charts.left_cycle"), "right": say("charts.right_cycle"), "": say("charts.trunk_cycle")}


def heatmap_charts(explanation: Explanation, foot_off: Mapping[str, float | None]) -> tuple[Markup, ...]:
    """One chart per side, and one for the trunk; one colour scale. ``foot_off``: percent of the cycle by side."""
    largest = max((abs(value) for row in explanation.rows for value in row.contribution), default=0.0) or 1.0
    relevant = _relevant(explanation.rescaled)
    charts = []
    for side, heading in HEADINGS.items():
        numbers = [index for index, row in enumerate(explanation.rows) if row.side == side]
        if numbers:
            rows = [explanation.rows[index] for index in numbers]
            marked = [item for item in explanation.highlights if item.side == side]
            dots = [relevant[index] if relevant is not None else () for index in numbers]
            charts.append(_panel(explanation.label, heading, rows, marked, dots, largest, foot_off.get(side or "left")))
    return tuple(charts)


def _relevant(rescaled: Rescaling | None) -> list[tuple[int, ...]] | None:
    """By row, the columns among the tenth of all cells with most relevance after rescaling."""
    if rescaled is None:
        return None
    shares = np.array(rescaled.shares)
    count = max(1, round(RELEVANT_SHARE * shares.size))
    least = np.sort(shares, axis=None)[-count]
    return [tuple(int(column) for column in np.flatnonzero((row >= least) & (row > 0.0))) for row in shares]


def _panel(
    label: str,
    heading: str,
    rows: Sequence[HeatmapRow],
    marked: Sequence[Highlight],
    dots: Sequence[Sequence[int]],
    largest: float,
    foot_off: float | None,
) -> Markup:
    bottom = TOP + ROW * len(rows)
    canvas = Canvas(
        WIDTH, bottom + 40, say("charts.contribution", heading=heading, label=label), _describe(heading, marked)
    )
    x = Axis(0.0, 100.0, LEFT, RIGHT)
    canvas.text(LEFT, TOP - 9, heading, "label strong")
    for index, row in enumerate(rows):
        top = TOP + ROW * index
        canvas.text(LEFT - 6, top + ROW / 2 + 4, joint_name(row.joint), "label", "end")
        for column, value in enumerate(row.contribution):
            _cell(canvas, x, top, row, column, value, value / largest)
        if row.curve is not None:
            _curves(canvas, x, top, row.curve)
        for column in dots[index]:
            canvas.add("circle", cx=x((column + 0.5) * STEP), cy=top + ROW - 4.5, r=2.1, cls="relevant")
    for item in marked:
        index = next(number for number, row in enumerate(rows) if row.joint == item.joint)
        _outline(canvas, x, TOP + ROW * index, item)
    _axis(canvas, x, bottom, foot_off)
    return canvas.render()


def _cell(canvas: Canvas, x: Axis, top: float, row: HeatmapRow, column: int, value: float, share: float) -> None:
    error = row.standard_error[column]
    spread = "" if error is None else f" ± {error:.3f}"
    where, stretch = place(row.side, row.joint), f"{column * STEP:.0f}–{(column + 1) * STEP:.0f} %"
    canvas.add(
        "rect",
        title=say("charts.cell", where=where.capitalize(), stretch=stretch, value=f"{value:+.3f}{spread}")
        + _values(row.curve, column),
        x=x(column * STEP) + 0.4,
        y=top + 1,
        width=(RIGHT - LEFT) / PHASE_BINS - 0.8,
        height=ROW - 2,
        cls="cell for" if share >= 0 else "cell against",
        # A cell at zero keeps a trace of ink, so that the grid can be seen.
        fill_opacity=round(0.04 + 0.96 * abs(share), 3),
    )


def _values(curve: MeanCurve | None, column: int) -> str:
    """What the curves are in a column, in words."""
    walk, reference = (None, None) if curve is None else (curve.walk[column], curve.reference[column])
    if curve is None or walk is None:
        return ""
    unit, decimals = _UNITS.get(curve.unit, (f" {curve.unit}", 2))
    name = channel_name(curve.channel)
    told = (f"{number(value, decimals)}{unit}" for value in (walk, reference))
    return say("charts.cell_curve", name=name, walk=next(told), reference=next(told))


def _curves(canvas: Canvas, x: Axis, top: float, curve: MeanCurve) -> None:
    """Both mean curves in the row, upwards being more; ``top`` is the row's upper edge."""
    known = [value for value in (*curve.walk, *curve.reference) if value is not None]
    if not known or max(known) == min(known):
        return
    y = Axis(min(known), max(known), top + ROW - MARGIN, top + MARGIN)
    for values, kinds in ((curve.reference, ("healthy",)), (curve.walk, ("under", "walked"))):
        for part in _unbroken(values):
            points = [(x((column + 0.5) * STEP), y(value)) for column, value in part]
            for kind in kinds:
                canvas.path(points, kind)


def _unbroken(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches of two known values and more."""
    parts: list[list[tuple[int, float]]] = [[]]
    for column, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append((column, value))
    return [part for part in parts if len(part) > 1]


def _outline(canvas: Canvas, x: Axis, top: float, item: Highlight) -> None:
    wraps = item.to_percent <= item.from_percent
    spans = [(item.from_percent, 100.0), (0.0, item.to_percent)] if wraps else [(item.from_percent, item.to_percent)]
    for start, end in spans:
        if end > start:
            canvas.add("rect", x=x(start), y=top, width=x(end) - x(start), height=ROW, rx=3, cls="marked")


def _axis(canvas: Canvas, x: Axis, bottom: float, foot_off: float | None) -> None:
    for tick in range(0, 101, 20):
        canvas.line(x(tick), bottom, x(tick), bottom + 4, "axis")
        canvas.text(x(tick), bottom + 16, f"{tick}", "tick", "middle")
    if foot_off is None:
        canvas.text((LEFT + RIGHT) / 2, bottom + 31, say("charts.percent"), "tick", "middle")
        return
    canvas.line(x(foot_off), TOP - 3, x(foot_off), bottom + 20, "boundary")
    canvas.text(x(foot_off / 2), bottom + 31, say("charts.stance"), "tick", "middle")
    canvas.text(x((100 + foot_off) / 2), bottom + 31, say("charts.swing"), "tick", "middle")


def _describe(heading: str, marked: Sequence[Highlight]) -> str:
    if not marked:
        return say("charts.nothing", heading=heading)
    texts = (
        say(
            "charts.joint_range",
            joint=joint_name(item.joint),
            from_percent=item.from_percent,
            to_percent=item.to_percent,
        )
        for item in marked
    )
    return say("charts.most", heading=heading, texts=", ".join(texts))
