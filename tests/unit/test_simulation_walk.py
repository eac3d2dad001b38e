"""The truth of synthetic walks: what must hold for every patient, and what the literature says of each disorder."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.simulation.disorders import pattern_of
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import WalkTruth, walk_truth
from gaitkeeper_shared.simulation.walker import BOTH, Walk

RIGID = [
    (f"{side}_{start}", f"{side}_{end}")
    for side in BOTH
    for start, end in (
        ("hip", "knee"),
        ("knee", "ankle"),
        ("ankle", "heel"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    )
]


@cache
def truth_of(disorder: Disorder, seed: int, duration_s: float = 8.0) -> WalkTruth:
    return walk_truth(Walk(draw_patient("p", disorder, seed), duration_s))


def mean_over_patients(disorder: Disorder, name: str) -> float:
    return float(np.mean([getattr(truth_of(disorder, seed).parameters, name) for seed in range(8)]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    disorder=st.sampled_from(DISORDERS),
    seed=st.integers(0, 10_000),
    speed=st.floats(0.45, 1.5),
    height=st.floats(1.45, 2.0),
)
def test_every_walk_is_physical(disorder: Disorder, seed: int, speed: float, height: float) -> None:
    patient = draw_patient("p", disorder, seed, height_range_m=(height, height), speed_m_s=speed)
    walk = Walk(patient, 5.0)
    truth = walk_truth(walk, 200.0)
    positions, time_s = truth.trajectories.positions, truth.trajectories.time_s
    assert np.all(np.isfinite(positions))
    for start, end in RIGID:
        length = np.linalg.norm(joint(positions, start) - joint(positions, end), axis=1)
        assert np.ptp(length) < 1e-6, f"{start} to {end} changes its length"
    for side in BOTH:
        heel, toe = joint(positions, f"{side}_heel"), joint(positions, f"{side}_toe")
        assert min(heel[:, 2].min(), toe[:, 2].min()) > -0.005, "a foot sinks into the floor"
        prints = walk.footprints.side(side)
        for strike, off in zip(prints.strike_s, prints.off_s, strict=True):
            stance = (time_s > strike) & (time_s < off)
            on_floor = stance & (heel[:, 2] < 1e-3) & (toe[:, 2] < 1e-3)
            if np.count_nonzero(on_floor) > 1:
                assert np.ptp(heel[on_floor, :2], axis=0).max() < 0.01, "the standing foot slides"
                assert np.ptp(toe[on_floor, :2], axis=0).max() < 0.01
            touching = np.minimum(heel[stance, 2], toe[stance, 2])
            assert np.all(touching < 0.005), "a foot in stance hovers"
    knees = [truth.angles.values[:, truth.angles.names.index(f"knee_flexion_{side}")] for side in BOTH]
    assert min(float(knee.min()) for knee in knees) > -4.0, "a knee bends backwards"
    assert max(float(np.abs(np.diff(knee)).max()) for knee in knees) < 9.0, "a knee jumps (degrees in 5 ms)"


@settings(max_examples=15, deadline=None)
@given(disorder=st.sampled_from(DISORDERS), seed=st.integers(0, 10_000))
def test_events_alternate_and_agree_with_the_parameters(disorder: Disorder, seed: int) -> None:
    truth = walk_truth(Walk(draw_patient("p", disorder, seed), 8.0))
    order = [(event.type, event.side) for event in truth.events]
    cycle = [("foot_strike", "left"), ("foot_off", "right"), ("foot_strike", "right"), ("foot_off", "left")]
    start = cycle.index(order[0])  # type: ignore[arg-type]
    assert order == [cycle[(start + step) % 4] for step in range(len(order))]
    assert truth.strides
    for stride in truth.strides:
        assert stride.strike_s < stride.foot_off_s < stride.next_strike_s
        assert stride.stance_percent + stride.swing_percent == pytest.approx(100.0)
        assert 0.0 < stride.double_support_percent < stride.stance_percent
    # Over a whole walk: both stances together exceed the stride by the double support.
    parameters = truth.parameters
    assert parameters.stance_percent_left + parameters.stance_percent_right - 100.0 == pytest.approx(
        parameters.double_support_percent, abs=2.5
    )


def test_the_same_patient_walks_the_same_walk() -> None:
    patient = draw_patient("p", "ataxic", 5)
    assert patient == draw_patient("p", "ataxic", 5)
    times = np.linspace(0.0, 4.0, 50)
    first = Walk(patient, 4.0).positions(times)
    np.testing.assert_array_equal(first, Walk(patient, 4.0).positions(times))
    assert not np.allclose(first, Walk(patient, 4.0, number=1).positions(times))
    assert not np.allclose(first, Walk(draw_patient("p", "ataxic", 6), 4.0).positions(times))


def test_sampling_does_not_change_the_walk() -> None:
    walk = Walk(draw_patient("p", "healthy", 3), 3.0)
    dense = walk.positions(np.arange(301) / 100.0)
    np.testing.assert_allclose(walk.positions(np.arange(61) / 20.0), dense[::5], atol=1e-9)


def test_healthy_walking_is_within_published_bands() -> None:
    assert 1.1 < mean_over_patients("healthy", "walking_speed") < 1.4
    assert 100 < mean_over_patients("healthy", "cadence") < 122
    assert 59 < mean_over_patients("healthy", "stance_percent") < 64
    assert 18 < mean_over_patients("healthy", "double_support_percent") < 26
    for side in BOTH:
        assert 54 < mean_over_patients("healthy", f"knee_range_{side}") < 66
        assert 40 < mean_over_patients("healthy", f"hip_range_{side}") < 54
        assert 24 < mean_over_patients("healthy", f"ankle_range_{side}") < 36


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.3, 1.5])
def test_the_walk_keeps_the_speed_it_was_given(speed: float) -> None:
    patient = draw_patient("p", "healthy", 4, speed_m_s=speed)
    assert walk_truth(Walk(patient, 20.0)).parameters.walking_speed == pytest.approx(speed, rel=0.03)


def test_parkinsonian_steps_are_short_and_quick_with_little_arm_swing() -> None:
    assert mean_over_patients("parkinsonian", "step_length") < 0.8 * mean_over_patients("healthy", "step_length")
    assert mean_over_patients("parkinsonian", "cadence") > 0.95 * mean_over_patients("healthy", "cadence")
    assert arm_excursion("parkinsonian") < 0.5 * arm_excursion("healthy")


def arm_excursion(disorder: Disorder) -> float:
    spans = []
    for seed in range(4):
        positions = truth_of(disorder, seed).trajectories.positions
        for side in BOTH:
            hand = joint(positions, f"{side}_wrist")[:, 0] - joint(positions, f"{side}_shoulder")[:, 0]
            spans.append(np.ptp(hand))
    return float(np.mean(spans))


@pytest.mark.parametrize("seed", range(4))
def test_hemiparetic_side_bends_less_and_swings_around(seed: int) -> None:
    truth = truth_of("hemiparetic", seed)
    affected = truth.patient.affected_side
    sound = "right" if affected == "left" else "left"
    parameters = truth.parameters
    assert getattr(parameters, f"knee_range_{affected}") < getattr(parameters, f"knee_range_{sound}") - 4.0
    assert getattr(parameters, f"stance_percent_{affected}") < getattr(parameters, f"stance_percent_{sound}") - 3.0
    limb = pattern_of(truth.patient).limb(affected)
    assert limb.circumduction > 0.03


def test_ataxic_gait_is_wide_and_irregular() -> None:
    assert mean_over_patients("ataxic", "step_width") > mean_over_patients("healthy", "step_width") + 0.06
    assert mean_over_patients("ataxic", "stride_time_cv") > 2.0 * mean_over_patients("healthy", "stride_time_cv")


@pytest.mark.parametrize("seed", range(4))
def test_antalgic_stance_is_short_on_the_painful_side(seed: int) -> None:
    truth = truth_of("antalgic", seed)
    affected = truth.patient.affected_side
    sound = "right" if affected == "left" else "left"
    difference = getattr(truth.parameters, f"stance_percent_{sound}") - getattr(
        truth.parameters, f"stance_percent_{affected}"
    )
    assert difference > 3.0


def test_impossible_patients_are_refused() -> None:
    with pytest.raises(GaitkeeperError, match="gallop"):
        draw_patient("p", "gallop", 1)  # type: ignore[arg-type]
    with pytest.raises(GaitkeeperError, match="walking speed"):
        draw_patient("p", "healthy", 1, speed_m_s=9.0)
    with pytest.raises(GaitkeeperError, match="height"):
        draw_patient("p", "healthy", 1, height_range_m=(0.3, 0.4))
