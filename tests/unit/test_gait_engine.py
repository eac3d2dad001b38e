"""The gait engine against walks whose truth is known: exact points, noisy keypoints with gaps and exchanged legs."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.gait.refusals import TABLE
from gaitkeeper_client.gait.statistics import mean_with_ci95
from gaitkeeper_client.gait.swaps import repair_swaps
from gaitkeeper_client.gait.view import estimate_view
from gaitkeeper_client.language.texts import worded
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, decode_recording, encode_recording
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import KeypointNoise, noisy_keypoints
from gaitkeeper_shared.simulation.patient import DISORDERS, Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import WalkTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

SECONDS = 7.0
LEFT = np.array([JOINT_INDEX[f"left_{part}"] for part in ("hip", "knee", "ankle", "heel", "toe")])
RIGHT = np.array([JOINT_INDEX[f"right_{part}"] for part in ("hip", "knee", "ankle", "heel", "toe")])


@cache
def walk_of(disorder: Disorder, seed: int = 3) -> Walk:
    return Walk(draw_patient("p", disorder, seed), SECONDS)


@cache
def truth_of(disorder: Disorder, seed: int = 3) -> WalkTruth:
    return walk_truth(walk_of(disorder, seed))


@cache
def keypoints_of(disorder: Disorder, rate: float = 30.0, swaps: float = 0.0, view: str = "side") -> JointTrajectories:
    walk = walk_of(disorder)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (960, 540), view, "right_to_left")  # type: ignore[arg-type]
    return noisy_keypoints(walk, camera, rate, KeypointNoise(swaps_per_s=swaps))


def event_errors_ms(analysis: Analysis, truth: WalkTruth, kind: str) -> tuple[list[float], int]:
    """Signed errors in ms of the events found inside the walk, and how many were missed or too many."""
    inside = [e for e in truth.events if e.type == kind and 0.25 < e.time_s < SECONDS - 0.25]
    errors, wrong = [], 0
    for event in inside:
        near = [
            found.time_s - event.time_s
            for found in analysis.events
            if found.type == kind and found.side == event.side and abs(found.time_s - event.time_s) < 0.12
        ]
        errors += [1000.0 * near[0]] if len(near) == 1 else []
        wrong += len(near) != 1
    return errors, wrong


@pytest.mark.parametrize("disorder", DISORDERS)
def test_laboratory_points_give_the_truth(disorder: Disorder) -> None:
    truth = truth_of(disorder)
    # The default for laboratory points is a network that learned from people; force plates judge it, not this walker.
    points = walk_of(disorder).trajectories(60.0)
    analysis = analyse(points, source={"kind": "simulation"}, method=Contact())
    assert analysis.status == "analysed"
    for kind, limit in (("foot_strike", 25.0), ("foot_off", 15.0)):
        errors, wrong = event_errors_ms(analysis, truth, kind)
        assert wrong == 0
        assert np.mean(np.abs(errors)) < limit
    for name, limit in (("cadence", 0.01), ("stride_length", 0.02), ("walking_speed", 0.02), ("step_length", 0.05)):
        value = analysis.parameters[name].value
        assert value == pytest.approx(getattr(truth.parameters, name), rel=limit), name


@pytest.mark.parametrize("disorder", DISORDERS)
def test_noisy_keypoints_with_gaps_and_exchanged_legs(disorder: Disorder) -> None:
    truth = truth_of(disorder)
    height = walk_of(disorder).patient.height_m
    analysis = analyse(keypoints_of(disorder, swaps=0.5), height_m=height, source={})
    assert analysis.status == "analysed"
    assert analysis.quality["direction"] == "right-to-left"
    assert analysis.quality["view"] == "side"
    errors, wrong = event_errors_ms(analysis, truth, "foot_strike")
    assert wrong <= 1
    assert np.mean(np.abs(errors)) < 25.0
    for name, limit in (("cadence", 0.02), ("walking_speed", 0.05), ("step_length", 0.05)):
        assert analysis.parameters[name].value == pytest.approx(getattr(truth.parameters, name), rel=limit), name
    for cycle in analysis.cycles:
        assert cycle.curves["knee_flexion_left"].shape == (101,)


def test_every_parameter_has_a_value_with_its_interval_or_a_refusal() -> None:
    analysis = analyse(keypoints_of("healthy"), source={})  # no height: no scale
    assert set(analysis.parameters) == set(DEFINITIONS)
    for name, parameter in analysis.parameters.items():
        assert (parameter.value is None) != (parameter.refused is None), name
        assert parameter.unit == DEFINITIONS[name].unit
        if parameter.ci95 is not None and parameter.value is not None:
            assert parameter.ci95[0] <= parameter.value <= parameter.ci95[1]
    refused = {name: p.refused.code for name, p in analysis.parameters.items() if p.refused}
    assert {refused[name] for name in ("step_length", "stride_length", "walking_speed")} == {"scale-unknown"}
    assert set(refused.values()) <= set(TABLE)


def test_json_is_strict_and_of_the_agreed_shape() -> None:
    document = analyse(keypoints_of("healthy"), height_m=1.7, source={"kind": "video"}).to_json()
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again["schema"] == "gaitkeeper.analysis/1"
    assert set(again) == {"schema", "minor", "status", "reasons", "source", "parameters", "events", "cycles", "quality"}
    assert set(again["parameters"]["cadence"]) == {"value", "unit", "ci95", "n", "refused", "notes"}
    assert set(again["events"][0]) == {"time_s", "side", "type", "confidence"}
    assert all(0.0 <= event["confidence"] <= 1.0 for event in again["events"])


def test_the_recording_survives_its_encoding() -> None:
    recording = analyse(keypoints_of("ataxic"), height_m=1.7, source={"kind": "video"}).recording
    assert recording is not None
    back = decode_recording(encode_recording(recording))
    assert back.events == recording.events
    assert np.mean(np.isfinite(back.signals.values)) > 0.95
    assert np.allclose(np.diff(back.signals.time_s), np.diff(back.signals.time_s)[0])


def test_a_turn_is_cut_out_and_both_ways_are_used() -> None:
    there = keypoints_of("healthy")
    mirrored = there.positions.copy()
    mirrored[..., 0] = 960.0 - mirrored[..., 0]
    mirrored[..., 0] += there.positions[-1, 7, 0] - mirrored[0, 7, 0]
    positions = np.concatenate([there.positions, mirrored])
    time_s = np.arange(positions.shape[0]) / 30.0
    both = JointTrajectories(time_s, positions, "px", np.concatenate([there.confidence, there.confidence]))
    analysis = analyse(both, height_m=1.7, source={})
    one_way = analyse(there, height_m=1.7, source={})
    ways = [walk["direction"] for walk in analysis.quality["straight_walks"]]
    assert ways == ["right-to-left", "left-to-right"]
    assert analysis.parameters["cadence"].value == pytest.approx(one_way.parameters["cadence"].value, rel=0.02)
    assert analysis.parameters["cadence"].n > one_way.parameters["cadence"].n


def test_a_treadmill_is_noticed_and_the_way_withheld() -> None:
    seen = keypoints_of("healthy")
    hips = np.nanmean(seen.positions[:, [7, 8], 0], axis=1)
    drift = np.polyval(np.polyfit(seen.time_s, hips, 1), seen.time_s)
    positions = seen.positions.copy()
    positions[..., 0] += (480.0 - drift)[:, None]
    analysis = analyse(dataclasses.replace(seen, positions=positions), height_m=1.7, source={})
    assert analysis.status == "analysed"
    assert analysis.quality["constant_place"]
    assert analysis.parameters["walking_speed"].refused.code == "constant-place"  # type: ignore[union-attr]
    assert analysis.parameters["cadence"].value == pytest.approx(truth_of("healthy").parameters.cadence, rel=0.02)


def standing(seconds: float = 4.0, rate: float = 30.0) -> JointTrajectories:
    walk = keypoints_of("healthy")
    count = int(seconds * rate)
    still = np.repeat(walk.positions[60:61], count, axis=0)
    still += np.random.default_rng(0).normal(size=still.shape)
    return JointTrajectories(np.arange(count) / rate, still, "px", np.ones((count, len(JOINTS))))


def cut(tracks: JointTrajectories, start: int, stop: int, step: int = 1) -> JointTrajectories:
    part = slice(start, stop, step)
    return JointTrajectories(
        tracks.time_s[part] - tracks.time_s[start], tracks.positions[part], tracks.unit, tracks.confidence[part]
    )


def test_refusals_name_the_right_reason() -> None:
    walk = keypoints_of("healthy")
    empty = dataclasses.replace(walk, positions=np.full_like(walk.positions, np.nan))
    cases = {
        "no-person": empty,
        "not-walking": standing(),
        "too-few-cycles": cut(walk, 60, 95),
        "frame-rate-too-low": cut(walk, 0, walk.time_s.size, 3),
    }
    for code, tracks in cases.items():
        analysis = analyse(tracks, height_m=1.7, source={})
        assert analysis.status == "refused", code
        assert analysis.reasons[0].code == code
        assert analysis.recording is None
        assert all(p.refused is not None and p.refused.code == code for p in analysis.parameters.values())


def test_a_refusal_of_the_view_and_the_quality_name_the_same_one() -> None:
    """Somebody walks by obliquely and then stands before the camera for as long, too few times a second."""
    walk = cut(keypoints_of("healthy", view="oblique"), 0, 200, 2)
    still = np.repeat(walk.positions[-1:], walk.time_s.size, axis=0)
    trunk = float(np.nanmax(still[0, :, 1]) - np.nanmin(still[0, :, 1])) / 3.0
    for part in ("shoulder", "hip"):
        for side, way in (("left", 0.25), ("right", -0.25)):
            still[:, JOINT_INDEX[f"{side}_{part}"], 0] += way * trunk
    positions = np.concatenate([walk.positions, still, still])
    time_s = np.arange(len(positions)) * float(np.median(np.diff(walk.time_s)))
    analysis = analyse(JointTrajectories(time_s, positions, "px", np.ones(positions.shape[:2])), source={})
    (unfit,) = [why.message for why in analysis.reasons if why.code == "view-unfit"]
    assert analysis.quality["view"] == "front-or-rear"
    assert analysis.quality["straight_walks"]
    assert f"({worded('front-or-rear')}, about {analysis.quality['view_azimuth_deg']:.0f} degrees" in unfit


def test_an_oblique_view_gives_times_and_no_lengths() -> None:
    analysis = analyse(keypoints_of("healthy", view="oblique"), height_m=1.7, source={})
    assert analysis.parameters["cadence"].value is not None
    if analysis.quality["view"] != "side":
        assert analysis.parameters["step_length"].refused.code == "view-unfit"  # type: ignore[union-attr]
    assert estimate_view(keypoints_of("healthy", view="oblique").positions).azimuth_deg > 15.0


def test_uneven_time_stamps_are_honoured() -> None:
    walk = walk_of("healthy")
    rng = np.random.default_rng(1)
    even = np.arange(0.0, SECONDS, 1 / 60)
    keep = np.sort(rng.choice(even.size, int(0.6 * even.size), replace=False))
    times = even[keep]
    points = walk.positions(times)
    tracks = JointTrajectories(times - times[0], points, "m", np.ones(points.shape[:2]))
    analysis = analyse(tracks, source={})
    assert analysis.parameters["cadence"].value == pytest.approx(truth_of("healthy").parameters.cadence, rel=0.01)


def test_long_gaps_stay_gaps() -> None:
    walk = keypoints_of("healthy")
    positions = walk.positions.copy()
    positions[40:44] = np.nan
    positions[90:110] = np.nan
    cleaned = clean(dataclasses.replace(walk, positions=positions))
    hip = cleaned.tracks.positions[:, 7, 0]
    assert np.isfinite(hip[40:44]).all()
    assert cleaned.filled[40:44, 7].all()
    assert np.isnan(hip[92:108]).all()


@settings(max_examples=12, deadline=None)
@given(offsets=st.lists(st.integers(0, 20), min_size=1, max_size=6), length=st.integers(1, 8))
def test_exchanged_legs_are_put_back(offsets: list[int], length: int) -> None:
    starts = [5 + 32 * second + offset for second, offset in enumerate(offsets)]
    clean_walk = keypoints_of("healthy")
    known = np.isfinite(clean_walk.positions).all(axis=(1, 2))
    exchanged = clean_walk.positions.copy()
    touched = np.zeros(known.size, dtype=bool)
    for start in starts:
        touched[start : start + length] = True
    rows = np.flatnonzero(touched)
    exchanged[np.ix_(rows, LEFT)] = clean_walk.positions[np.ix_(rows, RIGHT)]
    exchanged[np.ix_(rows, RIGHT)] = clean_walk.positions[np.ix_(rows, LEFT)]
    repaired, _ = repair_swaps(exchanged, 30.0)
    apart = np.abs(clean_walk.positions[:, LEFT[2], 0] - clean_walk.positions[:, RIGHT[2], 0]) > 15.0
    judged = touched & known & apart  # where the ankles coincide there is nothing to tell
    wrong = np.abs(repaired[judged][:, LEFT[2], 0] - clean_walk.positions[judged][:, LEFT[2], 0]) > 1e-9
    assert wrong.sum() <= max(1, 0.05 * judged.sum())


@given(
    times=st.lists(st.floats(0.0, 8.0), min_size=0, max_size=30),
    kinds=st.lists(st.sampled_from(["foot_strike", "foot_off"]), min_size=30, max_size=30),
)
def test_what_is_left_is_in_physiological_order(times: list[float], kinds: list[str]) -> None:
    events = [
        GaitEvent(t, "left" if i % 2 else "right", kinds[i], 0.5 + (i % 5) / 10)  # type: ignore[arg-type]
        for i, t in enumerate(sorted(times))
    ]
    kept = enforce_order(events)
    assert list(kept) == sorted(kept, key=lambda e: e.time_s)
    for side in ("left", "right"):
        one = [e for e in kept if e.side == side]
        for before, after in pairwise(one):
            if before.type != after.type:
                assert after.time_s - before.time_s >= 0.15


def test_interval_of_a_mean() -> None:
    # 1.0, 1.1, 1.2: mean 1.1, s 0.1, t(2) 4.303: half width 0.2484.
    mean, interval = mean_with_ci95([1.0, 1.1, 1.2])
    assert mean == pytest.approx(1.1)
    assert interval == pytest.approx((0.8516, 1.3484), abs=1e-4)
    assert mean_with_ci95([1.0])[1] is None


def test_the_schema_page_names_everything() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "analysis-schema.md").read_text("utf-8")
    analysis = analyse(keypoints_of("healthy"), height_m=1.7, source={})
    for name in analysis.quality:
        assert f"`{name}`" in page, f"{name} is not documented"
