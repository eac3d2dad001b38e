"""The report's parameters: grouped, left beside right, with their cautions, and what is withheld told once a reason."""

from __future__ import annotations

import dataclasses
import re

import pytest
from insight_fixtures import walk_analysis

from gaitkeeper_client.gait.analysis import Parameter, Reason
from gaitkeeper_client.gait.cautions import caution
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.deviation import Distance, VariableScore, variable_scores
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.insight.charts.profile import profile_chart
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.parameter_view import ParametersView, parameters_view
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.insight.wording import GROUPS, PAIRS, PARAMETERS
from gaitkeeper_shared.skeleton import SIDES


def view_of(**parameters: Parameter) -> ParametersView:
    return parameters_view(parameters, PatientContext("P"))


def test_every_parameter_has_one_place() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    paired = [f"{stem}_{side}" for stem in PAIRS for side in SIDES]
    assert sorted(grouped + paired) == sorted(DEFINITIONS)
    assert set(PARAMETERS) == set(DEFINITIONS)


def test_sides_stand_beside_each_other_with_their_difference() -> None:
    view = view_of(
        knee_range_left=Parameter("deg", 58.2, (55.0, 61.4), 9),
        knee_range_right=Parameter(
            "deg", 41.0, (30.0, 52.0), 8, notes=(caution("wide-interval", low="30", high="52"),)
        ),
    )
    (pair,) = view.pairs
    assert (pair.left.value, pair.right.value, pair.difference, pair.unit) == ("58", "41", "17", "°")
    assert (pair.left.wide, pair.right.wide) == (False, True)
    assert not view.groups
    one = view_of(knee_range_left=Parameter("deg", 58.2, (55.0, 61.4), 9)).pairs[0]
    assert (one.right.value, one.difference) == ("", "–")


def test_what_is_withheld_for_one_reason_is_told_once() -> None:
    view = view_of(
        step_width=refused("m", "space-needed", what="Step width"),
        trunk_rotation=refused("deg", "space-needed", what="Trunk rotation"),
        walking_speed=refused("m/s", "scale-unknown"),
    )
    (withheld,) = view.withheld
    assert withheld.titles == "Step width; Trunk rotation"
    assert withheld.reason.startswith("It needs positions in three dimensions")
    (group,) = view.groups
    assert [row.title for row in group.rows] == ["Walking speed"], "what everybody looks for keeps its line"
    assert "Nothing" in group.rows[0].refused or "nothing" in group.rows[0].refused


def test_a_hidden_limb_is_a_mark_and_a_footnote() -> None:
    note = caution("far-limb", side="right")
    view = view_of(arm_swing_asymmetry=Parameter("%", -9.0, (-33.0, 15.0), 7, notes=(note,)))
    (row,) = view.groups[0].rows
    assert row.far
    assert row.notes == ()
    assert view.far == note.message


def test_a_parameter_that_the_report_does_not_know_is_shown() -> None:
    view = view_of(hat_size=Parameter("cm", 56.0, (55.0, 57.0), 3), gloves=Parameter("cm", refused=Reason("x", "No.")))
    assert [row.title for group in view.groups for row in group.rows] == ["Hat size", "Gloves"]


def test_the_profile_tells_shape_and_whole_apart() -> None:
    scores = (
        VariableScore("knee_flexion", "left", Distance(13.0, 12.0, 5.0), (11.0, 15.0), 6.0, 9),
        VariableScore("knee_flexion", "right", Distance(5.0, 0.0, 5.0), None, 6.0, 1),
    )
    chart = str(profile_chart(scores))
    widths = {
        (kind, side): float(width)
        for width, kind, side in re.findall(r'width="([\d.]+)" height="17" class="(whole|shape) (left|right)"', chart)
    }
    assert widths["whole", "left"] == pytest.approx(2.6 * widths["shape", "left"], rel=0.01)
    assert widths["whole", "right"] == pytest.approx(widths["shape", "left"], rel=0.01)
    assert "Knee, left: 13.0 degrees, shape 5.0" in chart


def test_a_healthy_walker_is_within_the_norm_and_the_report_says_which() -> None:
    analysis = walk_analysis()
    scores = variable_scores(analysis.cycles, "free")
    assert len(scores) == 6
    assert all(score.distance.shape < 6.0 for score in scores)
    text = render_report(analysis)
    assert "Movement analysis profile" in text
    assert "matched to this walk" in text
    assert "Gait Profile Score" in text
    assert "GDI" not in text


def test_without_a_speed_there_is_no_profile() -> None:
    analysis = walk_analysis()
    parameters = dict(analysis.parameters) | {"dimensionless_speed": refused("1", "constant-place")}
    text = render_report(dataclasses.replace(analysis, parameters=parameters))
    assert "Movement analysis profile" not in text
    assert "its speed is not known" in text or "speed is not known" in text
