"""What a report says holds of the recording that it is of, and its figures keep to their places."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from insight_fixtures import walk_analysis

from gaitkeeper_client.gait.analysis import Analysis, Reason
from gaitkeeper_client.gait.measure import BySide, coefficient_of_variation
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.insight.charts.walk import KeyFrame, stick_figures
from gaitkeeper_client.insight.report import UNNAMED, render_report
from gaitkeeper_client.insight.summary import in_short
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

TOO_SMALL = "joint angles come out too small"


def oblique(**changes: object) -> Analysis:
    walk = walk_analysis()
    quality = {**walk.quality, "view": "oblique", "view_azimuth_deg": 28.0, "camera": "still"}
    return dataclasses.replace(walk, quality=quality, **changes)  # type: ignore[arg-type]


def test_angles_are_told_as_too_small_only_where_there_are_any_as_the_camera_saw_them() -> None:
    seen = oblique()
    assert TOO_SMALL in render_report(seen)
    noted = dataclasses.replace(seen.parameters["cadence"], notes=(Reason("set-square", "It is set square."),))
    assert TOO_SMALL not in render_report(oblique(parameters={**seen.parameters, "knee_range_left": noted}))
    none = oblique(status="refused", reasons=(Reason("too-few-cycles", "Too few."),), cycles=(), recording=None)
    assert TOO_SMALL not in render_report(none)


def test_a_laboratory_s_report_tells_of_no_camera_and_no_video() -> None:
    walk = walk_analysis()
    told = render_report(dataclasses.replace(walk, quality={**walk.quality, "view": "laboratory", "camera": "unknown"}))
    assert "<dt>Camera" not in told
    assert "video" not in re.sub(r"<style>.*?</style>", "", told, flags=re.DOTALL).lower()
    assert "<dt>Camera</dt><dd>still</dd>" in render_report(oblique())


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"left": 3, "right": 3}, ("No joint's mean curve",)),
        ({"left": 3, "right": 1}, ("No joint's mean curve", "Of the right leg fewer than two")),
        ({"left": 0, "right": 2}, ("No joint's mean curve", "Of the left leg fewer than two")),
        ({"left": 1, "right": 1}, ("Joint curves were not held against the norm",)),
        ({"left": 0, "right": 0}, ()),
    ],
)
def test_of_a_single_cycle_no_curve_is_said_to_lie_in_the_norm(seen: dict[str, int], told: tuple[str, ...]) -> None:
    walk = walk_analysis("healthy", 3)
    own = {side: [one for one in walk.cycles if one.side == side][:count] for side, count in seen.items()}
    few = dataclasses.replace(walk, cycles=(*own["left"], *own["right"]))
    lines = [line for line in in_short(few, None, UNNAMED, "") if "curve" in line]
    assert len(lines) == len(told), lines
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))
    page = render_report(few)
    assert ("No mean curve leaves" in page) == ("No joint's mean curve" in told)
    assert all(line in page for line in lines if line.startswith(("Of the", "Joint curves")))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_counts_of_strides_read_as_english_however_many(n: int) -> None:
    why = refused("s", "too-few-strides", n, n=n, of="strides", needed=10).refused
    assert why is not None
    assert why.message.startswith(f"Too few strides: {n} seen, 10 needed.")


def test_a_foot_s_only_stride_is_said_not_to_count_where_variability_is_withheld() -> None:
    """Others count it: a report with two cycles must not say that none was seen."""
    for values, told in (
        (BySide((1.0,), (1.1,)), "Too few strides beside another one of the same foot: 0 seen, 10 needed."),
        (BySide((1.0, 1.1), (1.1, 1.2)), "Too few strides: 4 seen, 10 needed."),
    ):
        why = coefficient_of_variation("stride_time_cv", (), values).refused
        assert why is not None
        assert why.message.startswith(told)


@pytest.mark.parametrize("ahead", [0.4, 1.3])
def test_no_stick_figure_reaches_into_the_next_one(ahead: float) -> None:
    """Feet far ahead of the hips: right ones by a long step."""
    points = np.zeros((len(JOINTS), 2))
    for name, index in JOINT_INDEX.items():
        points[index] = (0.0, 1.0)
        if name.endswith(("heel", "toe", "ankle", "knee")):
            points[index] = (ahead if name.startswith("right") else -0.3, 0.0)
    chart = str(stick_figures([KeyFrame(points, "right strike", "0 %")] * 3))
    (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', chart)
    slot = float(width) / 3.0
    bones = [
        [float(x) for x in re.findall(r'x[12]="([-\d.]+)"', tag)] for tag in re.findall(r"<line[^>]*bone[^>]*>", chart)
    ]
    assert len(bones) >= 3
    for ends in bones:
        first = int(ends[0] // slot)
        assert all(first * slot + 2.0 <= x <= (first + 1) * slot - 2.0 for x in ends), ends
