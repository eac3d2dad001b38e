"""Clips as they come: begun in the middle of a stride, too short for any parameter, with one leg, with no shoulders."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.events.base import EventMethod
from gaitkeeper_client.gait.events.contact import Contact
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.keypoints import noisy_keypoints
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.truth import WalkTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX

SECONDS = 7.0
PATIENT = draw_patient("p", "healthy", 12)
NEAR_ENOUGH_S = 0.08


@cache
def whole() -> tuple[JointTrajectories, WalkTruth]:
    walk = Walk(PATIENT, SECONDS)
    camera = camera_for(walk.trajectories(20.0).positions, (960, 540), "side", "left_to_right")
    return noisy_keypoints(walk, camera, 30.0), walk_truth(walk)


def clip(start_s: float, end_s: float) -> JointTrajectories:
    tracks, _ = whole()
    inside = (tracks.time_s >= start_s) & (tracks.time_s <= end_s)
    times = tracks.time_s[inside]
    return JointTrajectories(times - times[0], tracks.positions[inside], "px", tracks.confidence[inside])


def analysed(tracks: JointTrajectories) -> Analysis:
    return analyse(tracks, height_m=PATIENT.height_m, source={})


def truth_within(start_s: float, end_s: float) -> list[GaitEvent]:
    return [event for event in whole()[1].events if start_s <= event.time_s <= end_s]


def is_true(event: GaitEvent, start_s: float) -> bool:
    return any(
        (event.side, event.type) == (true.side, true.type)
        and abs(event.time_s + start_s - true.time_s) <= NEAR_ENOUGH_S
        for true in whole()[1].events
    )


@pytest.mark.parametrize("phase", [0.05, 0.3, 0.55, 0.8])
def test_a_clip_that_starts_amid_a_stride_invents_nothing_and_misses_only_its_edges(phase: float) -> None:
    stride = whole()[1].parameters.stride_time
    start = float(whole()[0].time_s[np.searchsorted(whole()[0].time_s, 1.0 + phase * stride)])
    end = start + 3.6 * stride
    analysis = analysed(clip(start, end))
    assert analysis.status == "analysed"
    assert all(is_true(event, start) for event in analysis.events)
    for true in truth_within(start + 0.15, end - 0.15):
        found = [e.time_s + start for e in analysis.events if (e.side, e.type) == (true.side, true.type)]
        assert min(abs(time - true.time_s) for time in found) <= NEAR_ENOUGH_S, true
    assert min(cycle.start_s for cycle in analysis.cycles) >= 0.0, "no cycle before the clip"
    low, high = analysis.parameters["cadence"].ci95 or (np.nan, np.nan)
    assert low < whole()[1].parameters.cadence < high


@pytest.mark.parametrize("seconds", [2.3, 2.8, 3.4, 4.5, 6.5])
def test_each_parameter_has_an_interval_or_a_refusal(seconds: float) -> None:
    analysis = analysed(clip(0.4, 0.4 + seconds))
    for name, parameter in analysis.parameters.items():
        assert (parameter.value is None) == (parameter.ci95 is None) == (parameter.refused is not None), name
    if seconds > 6.0:
        assert analysis.parameters["symmetry_index"].value is not None
    elif analysis.status == "analysed" and seconds < 2.5:
        assert "no-interval" in {one.refused.code for one in analysis.parameters.values() if one.refused}


class _HardlySeen:
    """The usual method, and an event at the clip's start."""

    name = "hardly seen"

    def __init__(self, kind: EventType, confidence: float, after_s: float = 0.04) -> None:
        self.kind, self.confidence, self.after_s = kind, confidence, after_s

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        events = Contact().detect(bout)
        _, second = [event for event in events if event.type == "foot_strike"][:2]
        time_s = float(bout.time_s[0]) + self.after_s
        return (replace(second, type=self.kind, time_s=time_s, confidence=self.confidence), *events)


def test_no_stance_is_measured_from_a_foot_off_that_is_hardly_seen_and_it_is_listed() -> None:
    tracks = clip(0.52, 6.0)  # begins with a foot strike, so that the other foot's off is within its stride

    def found(method: EventMethod) -> Analysis:
        return analyse(tracks, height_m=PATIENT.height_m, source={}, method=method)

    without, hardly = found(Contact()), found(_HardlySeen("foot_off", 0.02))
    assert len(hardly.events) == len(without.events) + 1
    assert {name: one.value for name, one in hardly.parameters.items()} == {
        name: one.value for name, one in without.parameters.items()
    }
    strides = without.parameters["cadence"].n
    for strike in (_HardlySeen("foot_strike", 0.02), _HardlySeen("foot_strike", 0.5)):
        assert found(strike).parameters["cadence"].n == strides + 1, "a foot strike there is good"


@pytest.mark.parametrize("seconds", [0.6, 0.8, 1.0, 1.4])
def test_a_clip_too_short_for_parameters_lists_its_events_and_refuses_each_parameter(seconds: float) -> None:
    found = 0
    for start in (1.0, 1.4, 1.8, 2.2):
        analysis = analysed(clip(start, start + seconds))
        assert analysis.status == "refused"
        assert {reason.code for reason in analysis.reasons} <= {"recording-too-short", "too-few-cycles"}
        assert all(parameter.refused is not None for parameter in analysis.parameters.values())
        assert all(
            is_true(event, whole()[0].time_s[np.searchsorted(whole()[0].time_s, start)]) for event in analysis.events
        )
        found += len(analysis.events)
    expected = sum(len(truth_within(start + 0.1, start + seconds - 0.1)) for start in (1.0, 1.4, 1.8, 2.2))
    assert found >= 0.75 * expected


@pytest.mark.parametrize("gone", ["left", "right"])
@pytest.mark.parametrize("hip", [True, False])
def test_one_leg_alone_is_said_to_be_one_leg(gone: str, hip: bool) -> None:
    tracks = clip(0.0, 4.0)
    positions = tracks.positions.copy()
    parts = ("knee", "ankle", "heel", "toe", *(("hip",) if hip else ()))
    positions[:, [JOINT_INDEX[f"{gone}_{part}"] for part in parts]] = np.nan
    analysis = analysed(JointTrajectories(tracks.time_s, positions, "px", tracks.confidence))
    assert [reason.code for reason in analysis.reasons] == ["not-walking"]
    assert f"only the {'right' if gone == 'left' else 'left'} leg" in analysis.reasons[0].message
    assert not analysis.events


def test_one_leg_found_twice_is_no_walk() -> None:
    tracks = clip(0.0, 4.0)
    positions = tracks.positions.copy()
    for part in ("hip", "knee", "ankle", "heel", "toe"):
        positions[:, JOINT_INDEX[f"left_{part}"]] = positions[:, JOINT_INDEX[f"right_{part}"]]
    analysis = analysed(JointTrajectories(tracks.time_s, positions, "px", tracks.confidence))
    assert [reason.code for reason in analysis.reasons] == ["not-walking"]


def test_without_shoulders_the_legs_give_the_scale() -> None:
    tracks = clip(0.0, SECONDS)
    positions = tracks.positions.copy()
    positions[:, [JOINT_INDEX["left_shoulder"], JOINT_INDEX["right_shoulder"]]] = np.nan
    analysis = analysed(JointTrajectories(tracks.time_s, positions, "px", tracks.confidence))
    assert analysis.parameters["step_length"].value == pytest.approx(whole()[1].parameters.step_length, rel=0.06)
    assert analysis.parameters["trunk_lean"].refused is not None
