"""The movement analysis profile: how far each joint's curve lies from the norm's mean, left beside right."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gaitkeeper_client.gait.deviation import VariableScore
from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.wording import ANGLES, count_of_cycles, number, side_name
from gaitkeeper_client.language.texts import say

WIDTH, BAR, GAP, TOP = 520.0, 17.0, 16.0, 10.0
LEFT, RIGHT = 150.0, 456.0


def profile_chart(scores: Sequence[VariableScore]) -> Markup:
    """Bars: the part of each distance that is shape, and behind it the whole. The line is the interval of the whole.

    The tick is one standard deviation of the norm.
    """
    bottom = TOP + len(scores) * (BAR + 2.0) + GAP * max(0, len(_joints(scores)) - 1) + 4.0
    canvas = Canvas(WIDTH, bottom + 38.0, say("charts.profile"), _describe(scores))
    reach = max([*(score.ci95[1] if score.ci95 else score.distance.total for score in scores), 10.0])
    x = Axis(0.0, 5.0 * (int(reach * 1.02 / 5.0) + 1), LEFT, RIGHT)
    for tick in range(0, int(x.high) + 1, 5 if x.high <= 40 else 10):
        canvas.line(x(tick), TOP, x(tick), bottom, "grid" if tick else "axis")
        canvas.text(x(tick), bottom + 16.0, f"{tick}", "tick", "middle")
    canvas.text((LEFT + RIGHT) / 2, bottom + 32.0, say("charts.profile_axis"), "tick", "middle")
    top, before = TOP + 2.0, ""
    for score in scores:
        if before and score.angle != before:
            top += GAP
        before = score.angle
        _bar(canvas, x, top, score)
        top += BAR + 2.0
    return canvas.render()


def _joints(scores: Sequence[VariableScore]) -> list[str]:
    return list(dict.fromkeys(score.angle for score in scores))


def _bar(canvas: Canvas, x: Axis, top: float, score: VariableScore) -> None:
    middle = top + BAR / 2.0
    name = f"{ANGLES[score.angle][0]}, {side_name(score.side)}"
    found = score.distance
    title = say(
        "charts.profile_bar",
        name=name,
        total=number(found.total, 1),
        offset=number(found.offset, 1),
        shape=number(found.shape, 1),
        cycles=count_of_cycles(score.n),
    )
    canvas.text(LEFT - 8.0, middle + 4.0, name, "label", "end")
    width = x(found.total) - x(0.0)
    canvas.add("rect", title=title, x=x(0.0), y=top, width=width, height=BAR, cls=f"whole {score.side}")
    canvas.add("rect", x=x(0.0), y=top, width=x(found.shape) - x(0.0), height=BAR, cls=f"shape {score.side}")
    if score.ci95 is not None:
        low, high = x(max(0.0, score.ci95[0])), x(score.ci95[1])
        canvas.line(low, middle, high, middle, "whisker")
        for end in (low, high):
            canvas.line(end, middle - 4.0, end, middle + 4.0, "whisker")
    canvas.line(x(score.usual), top - 2.0, x(score.usual), top + BAR + 2.0, "usual")
    canvas.text(RIGHT + 10.0, middle + 4.0, f"{number(found.total, 1)}°", "label")


def _describe(scores: Sequence[VariableScore]) -> str:
    texts = (
        say(
            "charts.profile_said",
            angles=ANGLES[score.angle][0],
            side=side_name(score.side),
            total=score.distance.total,
            shape=score.distance.shape,
        )
        for score in scores
    )
    return "; ".join(texts) + "."
