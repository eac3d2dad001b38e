"""The walk itself: when each foot was on the ground, and stick figures at the events of one gait cycle (no picture)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.insight.wording import side_name
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent
from gaitkeeper_shared.skeleton import BONES, JOINTS, SIDES

LONGEST_STANCE_S = 3.0
NARROWEST_SLOT = 116.0
"""For one stick figure and its caption, in the chart's units; a long step makes all of them wider."""


def timeline_chart(events: Sequence[GaitEvent], duration_s: float) -> Markup:
    """Bars for stance from each foot strike to the foot off after it; marks for every event."""
    width, left, right = 760.0, 46.0, 750.0
    title = say("charts.events")
    canvas = Canvas(width, 118.0, title, _describe_events(events))
    x = Axis(0.0, max(duration_s, 0.1), left, right)
    step = next(size for size in (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 1e9) if duration_s / size <= 16)
    for tick in np.arange(0.0, duration_s + 1e-9, step):
        canvas.line(x(tick), 14, x(tick), 84, "grid")
        canvas.text(x(tick), 98, f"{tick:g}", "tick", "middle")
    canvas.text((left + right) / 2, 113, say("charts.seconds"), "tick", "middle")
    for row, side in enumerate(SIDES):
        middle = 30.0 + 36.0 * row
        canvas.text(left - 8, middle + 4, side_name(side), "label", "end")
        canvas.line(left, middle, right, middle, "axis")
        own = sorted((event for event in events if event.side == side), key=lambda event: event.time_s)
        for event, after in pairwise(own):
            if (
                event.type == "foot_strike"
                and after.type == "foot_off"
                and after.time_s - event.time_s < LONGEST_STANCE_S
            ):
                span = x(after.time_s) - x(event.time_s)
                canvas.add("rect", x=x(event.time_s), y=middle - 8, width=span, height=16, cls=f"stance {side}")
        for event in own:
            _mark(canvas, x(event.time_s), middle, event)
    return canvas.render()


def _mark(canvas: Canvas, x: float, middle: float, event: GaitEvent) -> None:
    what = say(f"charts.{event.type}")
    title = say("charts.event", side=side_name(event.side), what=what, time_s=event.time_s, confidence=event.confidence)
    down = event.type == "foot_strike"
    points = f"{x - 4:.1f},{middle - 13:.1f} {x + 4:.1f},{middle - 13:.1f} {x:.1f},{middle - 6:.1f}"
    if not down:
        points = f"{x - 4:.1f},{middle + 13:.1f} {x + 4:.1f},{middle + 13:.1f} {x:.1f},{middle + 6:.1f}"
    canvas.add("polygon", title=title, points=points, cls=f"event {event.side}")


def _describe_events(events: Sequence[GaitEvent]) -> str:
    texts = []
    for side in SIDES:
        for kind, name in (("foot_strike", say("charts.foot_strikes")), ("foot_off", say("charts.foot_offs"))):
            number = sum(event.side == side and event.type == kind for event in events)
            texts.append(f"{number} {side_name(side)} {name}")
    return ", ".join(texts) + "."


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A moment of the gait cycle: (J, 2) forward/up points relative to the mid-hip in leg lengths, and its caption."""

    points: FloatArray
    caption: str
    detail: str


def stick_figures(frames: Sequence[KeyFrame]) -> Markup:
    """The key frames side by side, walking to the right; left limbs solid, right limbs dashed."""
    floor, scale = 232.0, 84.0
    edges = [(float(np.nanmin(frame.points[:, 0])), float(np.nanmax(frame.points[:, 0]))) for frame in frames]
    slot = max(NARROWEST_SLOT, *(scale * (right - left) + 12.0 for left, right in edges))
    canvas = Canvas(
        slot * len(frames), 276.0, say("charts.figures"), ", ".join(frame.caption for frame in frames) + "."
    )
    for index, (frame, (left, right)) in enumerate(zip(frames, edges, strict=True)):
        centre = slot * (index + 0.5)
        hips = centre - scale * 0.5 * (left + right)  # feet that reach far ahead stay off the next figure
        lowest = float(np.nanmin(frame.points[:, 1]))
        _figure(
            canvas,
            {
                joint: (hips + scale * float(x), floor - 4 - scale * float(y - lowest))
                for joint, (x, y) in zip(JOINTS, frame.points, strict=True)
            },
        )
        canvas.line(slot * index + 6, floor, slot * (index + 1) - 6, floor, "axis")
        canvas.text(centre, floor + 18, frame.caption, "label", "middle")
        canvas.text(centre, floor + 34, frame.detail, "tick", "middle")
    return canvas.render()


def _figure(canvas: Canvas, at: Mapping[str, tuple[float, float]]) -> None:
    # The right limbs last: they are drawn dashed and would be hidden under the solid left ones.
    for start, end in sorted(BONES, key=lambda bone: bone[0].startswith("right")):
        (x1, y1), (x2, y2) = at[start], at[end]
        if not all(np.isfinite(value) for value in (x1, y1, x2, y2)):
            continue
        sides = {start.split("_")[0], end.split("_")[0]}
        canvas.line(x1, y1, x2, y2, f"bone {sides.pop() if len(sides) == 1 else 'middle'}")
    (x1, y1), (x2, y2) = at["left_shoulder"], at["right_shoulder"]
    x, y = 0.5 * (x1 + x2), 0.5 * (y1 + y2)
    if np.isfinite(x) and np.isfinite(y):
        canvas.add("circle", cx=x + 3, cy=y - 21, r=11, cls="head")
