"""The explanation as a picture: joints down, the gait cycle across, colour for what each cell adds to the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.findings import PHASE_BINS, Explanation, HeatmapRow, Highlight
from gaitkeeper_client.insight.wording import joint_name, place
from gaitkeeper_client.language.texts import say

WIDTH = 400.0
LEFT, RIGHT, TOP, ROW = 48.0, 386.0, 24.0, 26.0
STEP = 100.0 / PHASE_BINS
HEADINGS = {"left": say("charts.left_cycle"), "right": say("charts.right_cycle"), "": say("charts.trunk_cycle")}


def heatmap_charts(explanation: Explanation, foot_off: Mapping[str, float | None]) -> tuple[Markup, ...]:
    """One chart per side, and one for the trunk; one colour scale. ``foot_off``: percent of the cycle by side."""
    largest = max((abs(value) for row in explanation.rows for value in row.contribution), default=0.0) or 1.0
    charts = []
    for side, heading in HEADINGS.items():
        rows = [row for row in explanation.rows if row.side == side]
        if rows:
            marked = [item for item in explanation.highlights if item.side == side]
            charts.append(_panel(explanation.label, heading, rows, marked, largest, foot_off.get(side or "left")))
    return tuple(charts)


def _panel(
    label: str,
    heading: str,
    rows: Sequence[HeatmapRow],
    marked: Sequence[Highlight],
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
        title=say("charts.cell", where=where.capitalize(), stretch=stretch, value=f"{value:+.3f}{spread}"),
        x=x(column * STEP) + 0.4,
        y=top + 1,
        width=(RIGHT - LEFT) / PHASE_BINS - 0.8,
        height=ROW - 2,
        cls="cell for" if share >= 0 else "cell against",
        # A cell at zero keeps a trace of ink, so that the grid can be seen.
        fill_opacity=round(0.04 + 0.96 * abs(share), 3),
    )


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
