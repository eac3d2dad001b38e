"""Events of markers: rates, noise, gaps, belts, turns, short clips, and wherever the laboratory's origin is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from events_fixtures import KINDS, agreement, on_a_belt, recorded, with_a_turn
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.events.braking import braked
from gaitkeeper_client.gait.events.choice import METHODS, default_method, detect_all
from gaitkeeper_client.gait.events.consensus import ALONE, Consensus, _merged
from gaitkeeper_client.gait.events.local import local_walk, straight
from gaitkeeper_client.gait.events.order import ROUND, enforce_order
from gaitkeeper_client.gait.events.zeni import Zeni
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories
from gaitkeeper_shared.simulation.patient import Disorder
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

Change = Callable[[JointTrajectories], JointTrajectories]


def found_in(walk: JointTrajectories, method: str = "consensus") -> tuple[GaitEvent, ...]:
    tracks = clean(walk).tracks
    return detect_all(METHODS[method](tracks), find_bouts(tracks))


@pytest.mark.parametrize(("disorder", "rate_hz"), [("healthy", 50.0), ("hemiparetic", 250.0), ("antalgic", 30.0)])
def test_every_event_at_every_rate(disorder: Disorder, rate_hz: float) -> None:
    walk, truth = recorded(disorder, rate_hz=rate_hz, noise_m=0.002)
    for kind, one in agreement(found_in(walk), truth).items():
        row = one.to_json()
        assert (row["found"], row["false"]) == (row["n"], 0), kind
        assert isinstance(row["f1_50ms"], float)
        assert row["f1_50ms"] >= 0.95, kind


def test_a_shuffling_walk_is_not_left_to_the_network() -> None:
    walk, truth = recorded("parkinsonian", 4)
    both = agreement(found_in(walk), truth)["foot_strike"]
    alone = agreement(found_in(walk, "intellevent"), truth)["foot_strike"]
    assert np.mean(np.abs(both.errors_ms)) < 0.6 * np.mean(np.abs(alone.errors_ms))
    assert np.max(np.abs(both.errors_ms)) < 50.0


def test_the_braking_of_the_heel_errs_alike_in_every_walk() -> None:
    """Over ground and on a belt, fast and slow, healthy or not: what is taken off is one constant."""
    middles = []
    sluggish, truth = recorded("parkinsonian", 4)
    for walk, events in (recorded("healthy"), recorded("hemiparetic"), (sluggish, truth), (on_a_belt(sluggish), truth)):
        tracks = clean(walk).tracks
        bout = max(find_bouts(tracks), key=lambda one: one.duration_s)
        where = local_walk(tracks, bout.start, bout.stop, straight(bout), JOINTS, tracks.sample_rate_hz)
        strikes = tuple(event for event in braked(where, Zeni().detect(bout)) if event is not None)
        assert strikes
        assert {event.type for event in strikes} == {"foot_strike"}
        middles.append(float(np.median(agreement(strikes, events)["foot_strike"].errors_ms)))
    assert np.ptp(middles) < 15.0


def test_a_heel_that_is_never_braked_leaves_the_coordinates_time() -> None:
    walk, _ = recorded("healthy", 4)
    tracks = clean(walk).tracks
    bout = find_bouts(tracks)[0]
    where = local_walk(tracks, bout.start, bout.stop, straight(bout), JOINTS, tracks.sample_rate_hz)
    rough = Zeni().detect(bout)
    dragged = where.velocity.copy()
    dragged[:, JOINT_INDEX["left_heel"], 0] = 0.0
    sides = {event.side for event in braked(replace(where, velocity=dragged), rough) if event is not None}
    assert sides == {"right"}
    standing = replace(where, velocity=np.zeros_like(where.velocity))
    assert braked(standing, rough) == [None] * len(rough)


def test_markers_that_are_lost_for_a_moment_cost_nothing() -> None:
    walk, truth = recorded("healthy")
    positions, confidence = walk.positions.copy(), walk.confidence.copy()
    random = np.random.default_rng(5)
    for name in ("left_heel", "right_toe", "left_ankle", "right_heel", "left_hip"):
        for start in random.integers(20, walk.time_s.size - 40, 3):
            positions[start : start + 12, JOINT_INDEX[name]] = np.nan
            confidence[start : start + 12, JOINT_INDEX[name]] = 0.0
    gappy = JointTrajectories(walk.time_s, positions, "m", confidence)
    for kind, one in agreement(found_in(gappy), truth).items():
        assert len(one.errors_ms) == one.n, kind
        assert np.mean(np.abs(one.errors_ms)) < 25.0


def test_slow_cameras_lose_no_foot_that_turns_back_and_every_spike() -> None:
    """Of 30 samples a second the heel's turning point is one sample: it is no outlier, on a belt least of all."""
    walk, _ = recorded("healthy", rate_hz=30.0, noise_m=0.0)
    belt = on_a_belt(walk)
    heel = (slice(None), JOINT_INDEX["left_heel"])
    assert np.abs(clean(belt).tracks.positions[heel] - belt.positions[heel]).max() < 0.03
    assert not clean(belt).filled.any()
    spiked = belt.positions.copy()
    spiked[40:150:20, JOINT_INDEX["left_heel"]] += 0.05
    cleaned = clean(JointTrajectories(belt.time_s, spiked, "m", belt.confidence))
    assert np.flatnonzero(cleaned.filled[heel]).tolist() == list(range(40, 150, 20))


@pytest.mark.parametrize("change", [lambda walk: walk, on_a_belt])
def test_strikes_of_slow_cameras_and_of_noisy_ones_are_those_of_good_ones(change: Change) -> None:
    best, _ = recorded("hemiparetic", 4, noise_m=0.0)
    exact = [event for event in found_in(change(best)) if 0.5 < event.time_s < 5.5]
    for rate_hz, noise_m in ((25.0, 0.0), (100.0, 0.001)):
        walk, _ = recorded("hemiparetic", 4, rate_hz=rate_hz, noise_m=noise_m)
        found = found_in(change(walk))
        late = [
            min((e.time_s - event.time_s for e in found if (e.side, e.type) == (event.side, event.type)), key=abs)
            for event in exact
            if event.type == "foot_strike"
        ]
        assert np.mean(np.abs(late)) < 0.006, rate_hz


def test_a_rate_from_rounded_time_stamps_is_the_rate() -> None:
    walk, _ = recorded("healthy", 4, rate_hz=25.0)
    rounded = JointTrajectories(walk.time_s * 1.000001, walk.positions, "m", walk.confidence)
    assert rounded.sample_rate_hz < 25.0
    assert isinstance(default_method(rounded), Consensus)


def test_a_belt_changes_no_event() -> None:
    walk, _ = recorded("antalgic")
    ground, belt = found_in(walk), found_in(on_a_belt(walk))
    analysis = analyse(on_a_belt(walk), source={})
    assert analysis.quality["constant_place"]
    assert analysis.parameters["walking_speed"].refused.code == "constant-place"  # type: ignore[union-attr]
    inner = [event for event in ground if 0.5 < event.time_s < 5.5]
    assert len(inner) >= 14
    for event in inner:
        same = [e.time_s for e in belt if (e.side, e.type) == (event.side, event.type)]
        assert min(abs(time_s - event.time_s) for time_s in same) < 0.02


def test_who_drifts_on_a_belt_is_still_on_it() -> None:
    """As fast as 0.3 m/s and for seconds, forward and back: no walk over ground, and none backwards."""
    walk, truth = recorded("ataxic")
    belt = on_a_belt(walk)
    drift = 0.3 * np.sin(2.0 * np.pi * belt.time_s / 6.0)
    moved = JointTrajectories(
        belt.time_s, belt.positions + drift[:, None, None] * [1.0, 0.0, 0.0], "m", belt.confidence
    )
    analysis = analyse(moved, source={})
    assert analysis.quality["constant_place"]
    assert analysis.parameters["walking_speed"].refused.code == "constant-place"  # type: ignore[union-attr]
    assert all(len(one.errors_ms) == one.n for one in agreement(analysis.events, truth).values())


def test_who_walks_in_a_circle_keeps_left_and_right() -> None:
    walk, truth = recorded("healthy", 4)
    bent, _ = with_a_turn(walk, 500.0, 0.8)
    for one in agreement(analyse(bent, source={}).events, truth).values():
        assert (len(one.errors_ms), one.false) == (one.n, 0)


@pytest.mark.parametrize(("degrees", "radius_m"), [(180.0, 0.5), (-90.0, 0.6)])
def test_steps_of_a_turn_are_events_and_no_cycles(degrees: float, radius_m: float) -> None:
    walk, truth = recorded("healthy", 4)
    bent, spans = with_a_turn(walk, degrees, radius_m)
    analysis = analyse(bent, source={})
    for one in agreement(analysis.events, truth, spans).values():
        row = one.to_json()
        assert isinstance(row["f1_50ms"], float)
        assert row["f1_50ms"] >= 0.9
    straight = [(part["start_s"], part["end_s"]) for part in analysis.quality["straight_walks"]]
    assert len(straight) >= 2
    for cycle in analysis.cycles:
        assert any(start <= cycle.start_s and cycle.end_s <= end for start, end in straight)


@settings(max_examples=3, deadline=None)
@given(degrees=st.floats(-180.0, 180.0), origin=st.tuples(*[st.floats(-50.0, 50.0)] * 2), floor=st.floats(-1.0, 1.0))
def test_neither_origin_nor_axes_matter(degrees: float, origin: tuple[float, float], floor: float) -> None:
    walk, _ = recorded("hemiparetic", rate_hz=50.0)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = JointTrajectories(walk.time_s, walk.positions @ turn.T + [*origin, floor], "m", walk.confidence)
    here, there = found_in(walk), found_in(moved)
    assert [(e.side, e.type) for e in here] == [(e.side, e.type) for e in there]
    assert [e.time_s for e in there] == pytest.approx([e.time_s for e in here], abs=2e-3)


def test_one_step_gives_events_and_refuses_the_rest() -> None:
    walk, truth = recorded("healthy")
    part = slice(150, 245)
    clip = JointTrajectories(walk.time_s[part], walk.positions[part], "m", walk.confidence[part])
    analysis: Analysis = analyse(clip, source={})
    assert analysis.status == "refused"
    inner = [e for e in truth if walk.time_s[150] + 0.2 < e.time_s < walk.time_s[244] - 0.2]
    assert inner
    for event in inner:
        same = [e.time_s for e in analysis.events if (e.side, e.type) == (event.side, event.type)]
        assert min((abs(time_s - event.time_s) for time_s in same), default=1.0) < 0.05


def test_methods_that_agree_give_one_sure_event_and_a_far_network_moves_it_little() -> None:
    network = [GaitEvent(1.00, "left", "foot_strike", 0.9), GaitEvent(2.00, "left", "foot_strike", 0.9)]
    network.append(GaitEvent(3.00, "left", "foot_strike", 0.8))
    coordinates = [GaitEvent(1.01, "left", "foot_strike", 0.7), GaitEvent(2.10, "left", "foot_strike", 0.7)]
    near, far, alone = sorted(_merged(network, coordinates), key=lambda e: e.time_s)
    assert 1.0 < near.time_s < 1.01
    assert far.time_s == pytest.approx(2.10 - 0.6 * 0.012)
    assert near.confidence > far.confidence
    assert alone.confidence == pytest.approx(ALONE * 0.8)


def walk_of(steps: int) -> list[GaitEvent]:
    return [GaitEvent(0.5 + 0.25 * i, *ROUND[i % 4], 0.8) for i in range(steps)]


@given(at=st.floats(1.0, 4.0), side=st.sampled_from(["left", "right"]), kind=st.sampled_from(KINDS))
def test_a_weak_false_event_leaves_and_the_walk_stays(at: float, side: str, kind: str) -> None:
    walk = walk_of(18)
    kept = enforce_order([*walk, GaitEvent(at, side, kind, 0.2)])  # type: ignore[arg-type]
    places = [ROUND.index((event.side, event.type)) for event in kept]
    assert all((after - before) % 4 == 1 for before, after in pairwise(places))
    assert sum(event in walk for event in kept) >= len(walk) - 2


def test_a_missing_event_costs_no_other() -> None:
    walk = walk_of(18)
    kept = enforce_order(walk[:7] + walk[8:])
    assert list(kept) == walk[:7] + walk[8:]


def test_an_off_just_before_the_other_strike_is_no_flight() -> None:
    walk = walk_of(12)
    walk[5] = GaitEvent(walk[4].time_s - 0.04, walk[5].side, walk[5].type, 0.8)
    kept = enforce_order(walk)
    assert [(e.side, e.type) for e in kept] == [(e.side, e.type) for e in walk_of(12)]


@pytest.mark.parametrize(("after_s", "confidence", "both"), [(0.02, 0.4, False), (0.2, 0.95, False), (0.4, 0.4, True)])
def test_no_foot_leaves_the_ground_while_the_other_is_in_the_air(after_s: float, confidence: float, both: bool) -> None:
    """At a clip's end nothing follows that would tell; half a step later, a strike between them was missed."""
    off = next(event for event in reversed(walk_of(12)) if event.type == "foot_off")
    walk = [event for event in walk_of(12) if event.time_s <= off.time_s]
    other = "left" if off.side == "right" else "right"
    late = GaitEvent(off.time_s + after_s, other, "foot_off", confidence)
    found = enforce_order([*walk, late])
    offs = [event for event in found if event.time_s >= off.time_s - 1e-9 and event.type == "foot_off"]
    assert len(offs) == (2 if both else 1)
    assert (late in found) == (both or confidence > off.confidence)
