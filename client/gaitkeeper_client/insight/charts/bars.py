"""Label probabilities as bars, each with its range where it has one."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.findings import LabelProbability
from gaitkeeper_client.language.texts import say

WIDTH, ROW, TOP = 520.0, 34.0, 8.0
LEFT, RIGHT = 130.0, 430.0


def probability_chart(probabilities: Sequence[LabelProbability], leading: str | None) -> Markup:
    """Bars from the most to the least probable label; the line is the range, where there is one."""
    bottom = TOP + ROW * len(probabilities)
    described = "; ".join(f"{item.label} {item.probability:.0%}" for item in probabilities)
    canvas = Canvas(WIDTH, bottom + 36, say("charts.labels"), f"{described}.")
    x = Axis(0.0, 1.0, LEFT, RIGHT)
    for tick in range(0, 101, 25):
        canvas.line(x(tick / 100), TOP, x(tick / 100), bottom, "grid")
        canvas.text(x(tick / 100), bottom + 16, f"{tick} %", "tick", "middle")
    chance = 1.0 / len(probabilities)
    canvas.line(x(chance), TOP, x(chance), bottom, say("charts.chance"))
    canvas.text(x(chance), bottom + 31, say("charts.chance"), "tick", "middle")
    for index, item in enumerate(probabilities):
        top = TOP + ROW * index
        named = item.label == leading
        canvas.text(LEFT - 8, top + ROW / 2 + 4, item.label[:20], "label strong" if named else "label", "end")
        canvas.add(
            "rect",
            x=x(0.0),
            y=top + 7,
            width=max(0.5, x(item.probability) - x(0.0)),
            height=ROW - 14,
            rx=2,
            cls="bar named" if named else "bar",
        )
        middle = top + ROW / 2
        if item.lowest is not None and item.highest is not None:
            canvas.line(x(item.lowest), middle, x(item.highest), middle, "whisker")
            for end in (item.lowest, item.highest):
                canvas.line(x(end), middle - 4, x(end), middle + 4, "whisker")
        canvas.text(RIGHT + 10, middle + 4, f"{item.probability:.0%}", "label strong" if named else "label")
    return canvas.render()
