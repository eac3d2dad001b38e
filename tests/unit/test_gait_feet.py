"""Recordings that show no feet: contacts are told from the ankles, and nothing is said of the feet themselves."""

from __future__ import annotations

import numpy as np
import pytest
from tests.accuracy.seen import seen_from_the_side
from tests.unit.events_fixtures import OF_FEET, agreement, on_a_belt, recorded, walker, without, without_feet

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.feet import facing, feet_are_seen, foot_is_seen, leg_parts
from gaitkeeper_client.gait.legs_seen import leg_alone
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.view import report_view
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES


def in_a_picture(disorder: Disorder = "healthy", rate_hz: float = 30.0) -> JointTrajectories:
    """Keypoints of a walk from the side, with a network's errors."""
    return seen_from_the_side(recorded(disorder, noise_m=0.0)[0], rate_hz, 5)


def values(analysis: Analysis) -> dict[str, float]:
    """Of the parameters that are told."""
    return {name: one.value for name, one in analysis.parameters.items() if one.value is not None}


def test_feet_are_seen_where_heels_and_tips_of_both_are() -> None:
    walk = in_a_picture().positions
    assert feet_are_seen(walk)
    assert leg_parts(walk) == ("hip", "ankle", "heel", "toe")
    toeless = walk.copy()
    toeless[:, JOINT_INDEX["right_toe"]] = np.nan
    assert (feet_are_seen(toeless), foot_is_seen(toeless, "left"), foot_is_seen(toeless, "right")) == (
        False, True, False,
    )  # fmt: skip
    assert leg_parts(toeless) == ("hip", "ankle")


@pytest.mark.parametrize(("share", "seen"), [(0.3, False), (0.7, True)])
def test_feet_that_are_hardly_ever_seen_do_not_cut_the_walk_short(share: float, seen: bool) -> None:
    walk = in_a_picture()
    positions = walk.positions.copy()
    positions[int(share * walk.time_s.size) :, OF_FEET] = np.nan
    analysis = analyse(JointTrajectories(walk.time_s, positions, "px", walk.confidence), source={})
    assert feet_are_seen(positions) is seen
    assert analysis.status == "analysed"
    (straight,) = analysis.quality["straight_walks"]
    whole_s = float(walk.time_s[-1])
    assert straight["end_s"] - straight["start_s"] == pytest.approx(share * whole_s if seen else whole_s, abs=0.4)


def test_both_feet_stand_where_heels_or_where_ankles_are() -> None:
    walk = in_a_picture()
    for seen, expected in ((walk, "heel"), (without(walk, [JOINT_INDEX["right_toe"]]), "ankle")):
        (bout,) = find_bouts(clean(seen).tracks)
        assert [bout.foot(side) for side in SIDES] == [f"{side}_{expected}" for side in SIDES]


@pytest.mark.parametrize("disorder", DISORDERS)
@pytest.mark.parametrize("spot", [False, True])
def test_ankles_tell_contacts_and_the_rest_stays_as_it_is(disorder: Disorder, spot: bool) -> None:
    walk, truth = recorded(disorder, noise_m=0.0)
    seen = seen_from_the_side(on_a_belt(walk) if spot else walk, 30.0, 5)
    whole, bare = analyse(seen, source={}, height_m=1.7), analyse(without_feet(seen), source={}, height_m=1.7)
    assert (whole.status, bare.status) == ("analysed", "analysed")
    assert (bare.quality["event_method"], bare.quality["feet_seen"]) == ("contact-of-ankles-1", False)
    assert "feet_seen" not in whole.quality
    assert bare.quality["constant_place"] is spot
    found, by_feet = ([one.to_json() for one in agreement(a.events, truth).values()] for a in (bare, whole))
    for row, other in zip(found, by_feet, strict=True):
        assert row["found"] == other["found"] == row["n"]
        assert row["mae_ms"] < float(str(other["mae_ms"])) + 15.0
    expected, told = values(whole), values(bare)
    gone = {name for name in expected if DEFINITIONS[name].foot}
    assert {"ankle_range_left", "ankle_range_right"} <= gone
    assert gone.isdisjoint(told)
    for name in gone:
        refusal = bare.parameters[name].refused
        assert refusal is not None
        assert refusal.code == "feet-missing"
        assert DEFINITIONS[name].title in refusal.message
    for name, share in (("cadence", 0.02), ("knee_range_left", 0.04), ("stride_time", 0.02)):
        assert told[name] == pytest.approx(expected[name], rel=share)
    simulated = walker(disorder, 3)[0]
    length_m = walk_truth(simulated).parameters.step_length
    of_height = simulated.patient.height_m / 1.7
    assert told["step_length"] * of_height == pytest.approx(length_m, rel=0.1)
    interval = bare.parameters["step_length"].ci95
    assert interval is not None
    assert interval[0] * of_height < length_m < interval[1] * of_height
    offs = ("stance_percent_left", "stance_percent_right", "double_support_percent")
    reach = {one: [a.parameters[one].ci95 for a in (whole, bare)] for one in offs}
    for with_feet, with_ankles in reach.values():
        assert with_feet is not None
        assert with_ankles is not None
        assert with_ankles[1] - with_ankles[0] > with_feet[1] - with_feet[0], "less sure, and says so"


@pytest.mark.parametrize("spot", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_markers_in_space_without_feet(spot: bool, mirrored: bool) -> None:
    walk, truth = recorded("healthy")
    if spot:
        walk = on_a_belt(walk)
    if mirrored:  # turned round by 180 degrees
        positions = walk.positions * np.array([-1.0, -1.0, 1.0])
        walk = JointTrajectories(walk.time_s, positions, walk.unit, walk.confidence)
    bare = analyse(without_feet(walk), source={})
    assert bare.status == "analysed"
    for row in (one.to_json() for one in agreement(bare.events, truth).values()):
        assert row["f1_50ms"] == 1.0
        assert row["mae_ms"] < 15.0
    ours, theirs = values(bare), values(analyse(walk, source={}))
    assert ours["step_width"] == pytest.approx(theirs["step_width"], abs=0.03)
    assert bare.parameters["foot_progression_left"].refused is not None
    assert bare.parameters["foot_progression_left"].refused.code == "feet-missing"


def test_knees_tell_where_somebody_faces() -> None:
    walk = in_a_picture()  # from right to left
    bare = without_feet(walk)
    for points in (walk.positions, bare.positions):
        assert np.nanmean(facing(points)[:, 0]) < 0.0
    analysis = analyse(bare, source={})
    assert analysis.quality["direction"] == "right-to-left"
    backwards = JointTrajectories(bare.time_s, bare.positions[::-1].copy(), "px", bare.confidence[::-1].copy())
    assert [why.code for why in analyse(backwards, source={}).reasons] == ["walks-backwards"]


@pytest.mark.parametrize("left_out", ["knee", "hip", "ankle"])
def test_one_leg_alone_is_noticed_without_feet(left_out: str) -> None:
    walk = in_a_picture()
    other = [index for index, name in enumerate(JOINTS) if name.startswith("right_") and left_out in name]
    leg = [*OF_FEET, *other, JOINT_INDEX["right_ankle"]]
    assert leg_alone(without(walk, leg)) == "left"
    assert leg_alone(without_feet(walk)) is None


def test_a_foot_that_is_seen_keeps_its_own_parameters() -> None:
    walk, _ = recorded("healthy")
    lame = analyse(without(walk, [JOINT_INDEX["right_toe"]]), source={})
    assert lame.status == "analysed"
    assert lame.parameters["ankle_range_left"].value is not None
    assert lame.parameters["ankle_range_right"].refused is not None
    assert lame.parameters["ankle_range_right"].refused.code == "feet-missing"


def test_the_report_says_that_no_feet_were_seen() -> None:
    def cautions(seen: JointTrajectories) -> str:
        return " ".join(report_view(analyse(seen, source={"kind": "openpose"}), None, PatientContext("p-1")).cautions)

    assert "the ankles is seen" not in cautions(in_a_picture())
    assert "the ankles is seen" in cautions(without_feet(in_a_picture()))
