"""A value over visits: points with their intervals, and the band within which nothing has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.wording import number

WIDTH, HEIGHT = 360.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 344.0, 14.0, 150.0


@dataclass(frozen=True, slots=True)
class Point:
    """One visit. ``day``: days since the first; ``ci95``: None where there is none; ``draft``: not signed."""

    day: float
    value: float
    ci95: tuple[float, float] | None
    draft: bool
    label: str


def course_chart(
    title: str,
    description: str,
    points: Sequence[Point],
    decimals: int,
    *,
    band: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Markup:
    """``band``: within error of the first visit. ``limits``: of the axis, where the quantity has an end."""
    canvas = Canvas(WIDTH, HEIGHT, title, description)
    low, high = limits or _limits(points, band)
    last = max(point.day for point in points)
    margin = 0.06 * last if last > 0.0 else 1.0
    x, y = Axis(-margin, last + margin, LEFT, RIGHT), Axis(low, high, BOTTOM, TOP)
    if band is not None:
        top, bottom = (y(min(max(value, low), high)) for value in (band[1], band[0]))
        canvas.add("rect", x=LEFT, y=top, width=RIGHT - LEFT, height=max(bottom - top, 0.5), cls="norm-band")
    for tick in _ticks(low, high):
        canvas.line(LEFT, y(tick), RIGHT, y(tick), "grid")
        canvas.text(LEFT - 5, y(tick) + 4, number(tick, decimals), "tick", "end")
    canvas.line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")
    canvas.path([(x(point.day), y(point.value)) for point in points], "course")
    for point in points:
        _point(canvas, x(point.day), y, point)
    _days(canvas, x, points)
    return canvas.render()


def _point(canvas: Canvas, at: float, y: Axis, point: Point) -> None:
    if point.ci95 is not None:
        ends = [min(max(value, y.low), y.high) for value in point.ci95]
        canvas.line(at, y(ends[0]), at, y(ends[1]), "whisker")
        for end in ends:
            canvas.line(at - 4, y(end), at + 4, y(end), "whisker")
    cls = "point open" if point.draft else "point"
    canvas.add("circle", cx=at, cy=y(point.value), r=4.5, cls=cls, title=point.label)


def _days(canvas: Canvas, x: Axis, points: Sequence[Point]) -> None:
    """Dates below, those that would overlap left out; the first and the last always stand."""
    written = -1e9
    for index, point in enumerate(points):
        at, last = x(point.day), index == len(points) - 1
        canvas.line(at, BOTTOM, at, BOTTOM + 4, "axis")
        if at - written < 66 or (not last and x(points[-1].day) - at < 66):
            continue
        canvas.text(at, BOTTOM + 18, point.label, "tick", "middle")
        written = at


def _limits(points: Sequence[Point], band: tuple[float, float] | None) -> tuple[float, float]:
    edges = [edge for point in points for edge in (point.value, *(point.ci95 or ()))] + list(band or ())
    low, high = min(edges), max(edges)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Between three and six round values."""
    raw = (high - low) / 4.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw)
    first = math.ceil(low / step)
    return [step * index for index in range(first, math.floor(high / step) + 1)]
