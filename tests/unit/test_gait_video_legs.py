"""The far leg of a side view: a hidden knee is put where hip, ankle and the bones' lengths say."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.gait.bouts import Bout, find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.hidden_leg import far_side, with_whole_legs
from gaitkeeper_client.gait.leg_chain import fit_over_time
from gaitkeeper_client.gait.perspective import Perspective, Picture
from gaitkeeper_client.gait.view import LABORATORY, View, estimate_view
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import joint_angles, midpoint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.camera import Direction, camera_for
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import WalkTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SECONDS = 6.0
RATE = 30.0
SIDE = View("side", 0.0)
LENGTHS = (0.42, 0.43)


@cache
def seen_of(disorder: Disorder, direction: Direction) -> tuple[JointTrajectories, WalkTruth]:
    walk = Walk(draw_patient("p", disorder, 5), SECONDS)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), "side", direction)
    times = np.arange(int(SECONDS * RATE)) / RATE
    pixels, _ = camera.project(walk.positions(times))
    pixels[..., 1] = camera.height - pixels[..., 1]
    return JointTrajectories(times, pixels, "px", np.ones(pixels.shape[:2])), walk_truth(walk)


def bout_of(tracks: JointTrajectories) -> Bout:
    (bout,) = find_bouts(clean(tracks).tracks)
    return bout


def knee_range(bout: Bout, truth: WalkTruth, side: str) -> float:
    """Degrees, mean over the truth's strides of that side."""
    curve = joint_angles(bout.points)[f"knee_flexion_{side}"]
    ranges = [
        np.ptp(curve[(bout.time_s >= stride.strike_s) & (bout.time_s < stride.next_strike_s)])
        for stride in truth.strides
        if stride.side == side and stride.strike_s >= bout.time_s[0] and stride.next_strike_s <= bout.time_s[-1]
    ]
    return float(np.mean(ranges))


def hide_knee(tracks: JointTrajectories, far: str) -> JointTrajectories:
    """As networks do it: a bent knee that swings past behind the near one is found nearer to that one."""
    near = "left" if far == "right" else "right"
    positions = tracks.positions.copy()
    knee, other = positions[:, JOINT_INDEX[f"{far}_knee"]], positions[:, JOINT_INDEX[f"{near}_knee"]]
    leg = np.linalg.norm(positions[:, JOINT_INDEX[f"{near}_hip"]] - positions[:, JOINT_INDEX[f"{near}_ankle"]], axis=1)
    apart = (knee - other)[:, 0] / np.median(leg)
    bent = np.abs(joint_angles(positions)[f"knee_flexion_{far}"]) > 25.0
    pulled = np.clip(1.0 - np.abs(apart) / 0.3, 0.0, 1.0) * bent
    knee[:, 0] -= pulled * (knee - other)[:, 0]
    return dataclasses.replace(tracks, positions=positions)


@pytest.mark.parametrize(("direction", "far"), [("left_to_right", "left"), ("right_to_left", "right")])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_a_hidden_knee_bends_as_far_as_hip_and_ankle_say(disorder: Disorder, direction: Direction, far: str) -> None:
    exact, truth = seen_of(disorder, direction)
    hidden = bout_of(hide_knee(exact, far))
    whole = with_whole_legs(hidden, SIDE)
    true, before, after = (joint_angles(bout.points)[f"knee_flexion_{far}"] for bout in (bout_of(exact), hidden, whole))
    wrong = np.abs(before - true) > 5.0
    assert wrong.sum() > 10, "the knee was hidden"
    assert np.abs(after - true)[wrong].mean() < 0.6 * np.abs(before - true)[wrong].mean()
    assert knee_range(whole, truth, far) == pytest.approx(getattr(truth.parameters, f"knee_range_{far}"), abs=5.0)


@pytest.mark.parametrize("direction", ["left_to_right", "right_to_left"])
@pytest.mark.parametrize("disorder", DISORDERS)
def test_a_leg_that_was_seen_right_stays_as_it_is(disorder: Disorder, direction: Direction) -> None:
    exact, truth = seen_of(disorder, direction)
    bout = bout_of(exact)
    whole = with_whole_legs(bout, SIDE)
    for side in ("left", "right"):
        # A stiff leg that swings around looks shorter as it does: for one of constant length it bends more.
        assert abs(knee_range(whole, truth, side) - knee_range(bout, truth, side)) < 4.0
    far = far_side(bout, SIDE)
    assert far == ("left" if direction == "left_to_right" else "right")
    near = "right" if far == "left" else "left"
    for part, most in (("knee", 0.02), ("ankle", 0.02), ("heel", 0.0), ("toe", 0.0)):
        moved = whole.points[:, JOINT_INDEX[f"{near}_{part}"]] - bout.points[:, JOINT_INDEX[f"{near}_{part}"]]
        assert np.linalg.norm(moved, axis=1).max() <= most * bout.leg, part


@pytest.mark.parametrize("disorder", DISORDERS)
def test_a_standing_knee_is_not_drawn_along_by_the_one_that_swings_past(disorder: Disorder) -> None:
    exact, _ = seen_of(disorder, "left_to_right")
    true = bout_of(exact)
    knee, other = (true.points[:, JOINT_INDEX[f"{side}_knee"], 0] for side in ("right", "left"))
    ahead = (other - knee) / true.leg
    swings_past = np.gradient(ahead) > 0.0
    drawn = true.points.copy()
    drawn[:, JOINT_INDEX["right_knee"], 0] += true.leg * np.where(
        swings_past & (np.abs(ahead) < 0.2), 0.05 * np.sin(np.pi * ahead / 0.2), 0.0
    )
    whole = with_whole_legs(dataclasses.replace(true, points=drawn), SIDE)
    wrong, mended, right = (
        joint_angles(one)["knee_flexion_right"] for one in (drawn, whole.points, with_whole_legs(true, SIDE).points)
    )
    off = np.abs(wrong - joint_angles(true.points)["knee_flexion_right"]) > 5.0
    assert off.sum() > 5, "the knee was drawn along"
    assert np.abs(mended - right)[off].mean() < 0.4 * np.abs(wrong - right)[off].mean()


def test_no_other_view_is_touched() -> None:
    exact, _ = seen_of("healthy", "left_to_right")
    bout = bout_of(exact)
    assert with_whole_legs(bout, View("oblique", 35.0)) is bout
    walk = Walk(draw_patient("p", "healthy", 5), SECONDS).trajectories(60.0)
    marker_bout = bout_of(walk)
    assert estimate_view(walk.positions) == LABORATORY
    assert with_whole_legs(marker_bout, LABORATORY) is marker_bout


def test_hips_are_put_back_along_the_way_only_where_nothing_else_moves_them_there() -> None:
    exact, _ = seen_of("healthy", "left_to_right")
    bout = bout_of(exact)
    perspective = Perspective(Picture(960, 540), 0.0, 0.0, 28.0, 4.0, 1000.0, 270.0, 400.0)
    hip = JOINT_INDEX["right_hip"]
    square, side = (with_whole_legs(bout, view).points for view in (View("oblique", 28.0, perspective), SIDE))
    assert np.array_equal(square[:, hip, 0], bout.points[:, hip, 0])
    shoulders = midpoint(bout.points, "shoulder")[:, 0]
    before, after = (np.std(points[:, hip, 0] - shoulders) for points in (bout.points, side))
    assert after == pytest.approx(0.5 * before)


def leg_of(hip: tuple[float, float], thigh_deg: float, knee_deg: float) -> FloatArray:
    upper, lower = np.radians(thigh_deg), np.radians(thigh_deg - knee_deg)
    knee = np.array(hip) + LENGTHS[0] * np.array([np.sin(upper), -np.cos(upper)])
    return np.stack([np.array(hip), knee, knee + LENGTHS[1] * np.array([np.sin(lower), -np.cos(lower)])])


def standing(leg: FloatArray) -> FloatArray:
    """(5, 3, 2) of a leg that keeps still, of which smoothness asks for nothing."""
    return np.repeat(leg[None], 5, axis=0)


@settings(max_examples=60, deadline=None)
@given(
    hip=st.tuples(st.floats(-5.0, 5.0), st.floats(0.5, 1.5)),
    thigh=st.floats(-30.0, 45.0),
    knee=st.floats(2.0, 100.0),
    weight=st.floats(0.05, 1.0),
)
def test_an_exact_leg_is_its_own_fit(hip: tuple[float, float], thigh: float, knee: float, weight: float) -> None:
    leg = standing(leg_of(hip, thigh, knee))
    weights = np.tile([1.0, weight, 1.0], (leg.shape[0], 1))
    assert np.allclose(fit_over_time(leg, LENGTHS, weights, RATE), leg, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    thigh=st.floats(-30.0, 45.0),
    knee=st.floats(5.0, 100.0),
    wrong=st.lists(st.floats(-0.05, 0.05), min_size=6, max_size=6),
)
def test_the_fit_keeps_the_bones_and_is_nearer_than_the_truth(thigh: float, knee: float, wrong: list[float]) -> None:
    true = leg_of((0.0, 0.9), thigh, knee)
    seen = true + np.reshape(wrong, (3, 2))
    whole = standing(seen)
    fitted = fit_over_time(whole, LENGTHS, np.ones(whole.shape[:2]), RATE)[0]
    assert np.linalg.norm(fitted[1] - fitted[0]) == pytest.approx(LENGTHS[0])
    assert np.linalg.norm(fitted[2] - fitted[1]) == pytest.approx(LENGTHS[1])
    # Least squares: no leg with these bones, the true one included, is nearer to what was seen.
    assert ((fitted - seen) ** 2).sum() <= ((true - seen) ** 2).sum() + 1e-6


def swing(count: int, rate_hz: float) -> FloatArray:
    """(T, 3, 2) of a leg that swings its knee by 60 degrees, hip and thigh moving on."""
    time_s = np.arange(count) / rate_hz
    knee = 8.0 + 57.0 * np.exp(-(((time_s - 0.7) / 0.15) ** 2))
    thigh = 25.0 * np.cos(2.0 * np.pi * time_s / 1.1)
    hips = np.stack([0.9 * time_s, 0.9 + 0.01 * np.sin(4.0 * np.pi * time_s / 1.1)], axis=1)
    return np.stack([leg_of((x, y), a, k) for (x, y), a, k in zip(hips.tolist(), thigh, knee, strict=True)])


def knee_of(leg: FloatArray) -> FloatArray:
    upper, lower = (np.arctan2(*(leg[:, n + 1] - leg[:, n]).T * [[1.0], [-1.0]]) for n in (0, 1))
    return np.asarray(np.degrees(upper - lower))


@pytest.mark.parametrize("rate_hz", [25.0, 30.0, 60.0])
def test_the_motion_before_and_after_carries_a_hidden_knee_on(rate_hz: float) -> None:
    true = swing(int(1.2 * rate_hz), rate_hz)
    seen, weight = true.copy(), np.ones(true.shape[:2])
    hidden = np.abs(np.arange(true.shape[0]) / rate_hz - 0.7) < 0.07
    random = np.random.default_rng(3)
    seen[hidden, 1, 0] -= 0.06 + random.normal(0.0, 0.02, hidden.sum())
    seen[hidden, 2] += random.normal(0.0, 0.015, (hidden.sum(), 2))  # which alone makes spikes of 10 degrees
    weight[hidden, 1], weight[hidden, 2] = 0.05, 0.25
    together = fit_over_time(seen, LENGTHS, weight, rate_hz)
    error, before = (np.abs(knee_of(leg) - knee_of(true)) for leg in (together, seen))
    assert error.max() < min(4.0, 0.6 * before.max())
    assert np.ptp(knee_of(together)) == pytest.approx(np.ptp(knee_of(true)), abs=5.0)
    assert np.allclose(np.linalg.norm(together[:, 1] - together[:, 0], axis=1), LENGTHS[0])


def test_a_leg_that_comes_and_goes_is_fitted_where_it_is_seen() -> None:
    exact, _ = seen_of("healthy", "left_to_right")
    bout = bout_of(exact)
    points = bout.points.copy()
    points[40:60, JOINT_INDEX["left_knee"]] = points[62, JOINT_INDEX["left_knee"]] = np.nan
    whole = with_whole_legs(dataclasses.replace(bout, points=points), SIDE)
    for part in ("hip", "knee", "ankle"):
        seen = np.isfinite(points[:, JOINT_INDEX[f"left_{part}"]])
        assert np.array_equal(np.isfinite(whole.points[:, JOINT_INDEX[f"left_{part}"]]), seen)
    apart = np.abs(whole.points - with_whole_legs(bout, SIDE).points)[:, JOINT_INDEX["left_knee"]]
    assert np.nanmedian(apart) < 0.01 * bout.leg
