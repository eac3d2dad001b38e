"""Joint angle over the gait cycle: mean and spread of each side, the norm's band, and where stance ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.norms import NormCurve
from gaitkeeper_client.insight.wording import count_of_cycles, number, side_name
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray

WIDTH, HEIGHT = 360.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 350.0, 18.0, 214.0


@dataclass(frozen=True, slots=True)
class SideCurve:
    """Mean and standard deviation over ``n`` cycles of one side: (101,) degrees; ``foot_off``: percent, or None."""

    mean: FloatArray
    sd: FloatArray
    n: int
    foot_off: float | None


def curve_chart(
    title: str, directions: tuple[str, str], sides: Mapping[str, SideCurve], norm: NormCurve | None
) -> Markup:
    """One angle. ``directions``: what positive and negative mean (flexion, extension)."""
    canvas = Canvas(WIDTH, HEIGHT, say("charts.over_cycle", title=title), _describe(title, sides))
    low, high = _limits(sides, norm)
    x, y = Axis(0.0, 100.0, LEFT, RIGHT), Axis(low, high, BOTTOM, TOP)
    _frame(canvas, x, y, directions)
    percent = np.linspace(0.0, 100.0, 101)
    if norm is not None:
        _band(canvas, x, y, percent, norm.mean, norm.sd, "norm-band")
    for side, curve in sides.items():
        if curve.n > 1:
            _band(canvas, x, y, percent, curve.mean, curve.sd, f"band {side}")
    for side, curve in sides.items():
        points = [(x(p), y(v)) for p, v in zip(percent, curve.mean, strict=True) if np.isfinite(v)]
        canvas.path(points, f"curve {side}")
        if curve.foot_off is not None:
            canvas.line(x(curve.foot_off), y(low), x(curve.foot_off), y(high), f"foot-off {side}")
    return canvas.render()


def _limits(sides: Mapping[str, SideCurve], norm: NormCurve | None) -> tuple[float, float]:
    edges = [0.0]
    for curve in sides.values():
        edges += [float(np.nanmin(curve.mean - curve.sd)), float(np.nanmax(curve.mean + curve.sd))]
    if norm is not None:
        edges += [float(np.min(norm.mean - norm.sd)), float(np.max(norm.mean + norm.sd))]
    low, high = float(np.floor(min(edges) / 10) * 10), float(np.ceil(max(edges) / 10) * 10)
    return low, high if high > low else low + 10.0  # a solved model's joint that cannot turn so is 0 throughout


def _frame(canvas: Canvas, x: Axis, y: Axis, directions: tuple[str, str]) -> None:
    step = 20.0 if y.high - y.low > 60 else 10.0
    for tick in np.arange(np.ceil(y.low / step) * step, y.high + 1e-9, step):
        canvas.line(LEFT, y(tick), RIGHT, y(tick), "zero" if tick == 0 else "grid")
        canvas.text(LEFT - 5, y(tick) + 4, number(float(tick), 0), "tick", "end")
    for tick in range(0, 101, 20):
        canvas.line(x(tick), BOTTOM, x(tick), BOTTOM + 4, "axis")
        canvas.text(x(tick), BOTTOM + 17, f"{tick}", "tick", "middle")
    canvas.line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis")
    canvas.text((LEFT + RIGHT) / 2, BOTTOM + 33, say("charts.percent"), "tick", "middle")
    canvas.text(LEFT + 4, TOP - 6, say("charts.positive", directions=directions[0]), "tick")
    canvas.text(RIGHT, TOP - 6, say("charts.negative", directions=directions[1]), "tick", "end")


def _band(canvas: Canvas, x: Axis, y: Axis, percent: FloatArray, mean: FloatArray, sd: FloatArray, cls: str) -> None:
    known = np.isfinite(mean) & np.isfinite(sd)
    upper = [(x(p), y(v)) for p, v in zip(percent[known], (mean + sd)[known], strict=True)]
    lower = [(x(p), y(v)) for p, v in zip(percent[known], (mean - sd)[known], strict=True)]
    if upper:
        canvas.path([*upper, *reversed(lower)], cls, closed=True)


def _describe(title: str, sides: Mapping[str, SideCurve]) -> str:
    parts = []
    for side, curve in sides.items():
        if not np.isfinite(curve.mean).any():
            continue
        top, bottom = int(np.nanargmax(curve.mean)), int(np.nanargmin(curve.mean))
        parts.append(
            say(
                "charts.curve",
                side=side_name(side),
                cycles=count_of_cycles(curve.n),
                mean=curve.mean[top],
                top=top,
                mean_2=curve.mean[bottom],
                bottom=bottom,
            )
        )
    return f"{title}. " + "; ".join(parts) + "."
