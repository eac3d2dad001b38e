"""Signs of contact: each finds its own moment, at the time between samples, and the event is their weighted mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.accuracy.seen import seen_from_the_side
from tests.unit.events_fixtures import recorded

from gaitkeeper_client.gait.bouts import Bout, find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.gait.events.contact import OF_ANKLES, OF_FEET, SEARCH_S, Contact
from gaitkeeper_client.gait.events.signs import (
    Sign,
    farthest_ahead,
    farthest_behind,
    faster_than,
    slower_than,
    tilted_most,
)
from gaitkeeper_client.gait.events.zeni import ANKLES, Zeni
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

RATE_HZ, SPEED, PERIOD_S, REACH = 30.0, 1.2, 1.1, 0.3
TIME_S = np.arange(0.0, 5.0, 1.0 / RATE_HZ)
PHASE = 2.0 * np.pi * TIME_S / PERIOD_S


def swinging(tilt_deg: FloatArray | None = None) -> Bout:
    """A pelvis that goes on evenly, and legs whose points swing about it as sines; the shank as it is told to."""
    points = np.zeros((TIME_S.size, len(JOINTS), 2))
    points[..., 0] = SPEED * TIME_S[:, None]
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        for part, height in (("hip", 0.9), ("knee", 0.5), ("ankle", 0.1), ("heel", 0.0), ("toe", 0.0)):
            points[:, JOINT_INDEX[f"{side}_{part}"], 1] = height
            if part in ("ankle", "heel", "toe"):
                points[:, JOINT_INDEX[f"{side}_{part}"], 0] += sign * REACH * np.sin(PHASE)
        if tilt_deg is not None:
            shank = 0.4 * np.stack([np.sin(np.radians(tilt_deg)), np.cos(np.radians(tilt_deg))], axis=1)
            points[:, JOINT_INDEX[f"{side}_knee"]] = points[:, JOINT_INDEX[f"{side}_ankle"]] + shank
    return Bout(0, TIME_S.size, TIME_S, points, np.ones(points.shape[:2]), 1.0, False, 0.8)


def every(first_s: float) -> FloatArray:
    times = np.arange(first_s, TIME_S[-1], PERIOD_S)
    return times[times > 0.0]


def test_the_farthest_ahead_and_behind_of_the_pelvis() -> None:
    bout = swinging()
    assert farthest_ahead("heel")(bout, "left", SPEED) == pytest.approx(every(0.25 * PERIOD_S), abs=0.002)
    assert farthest_behind("toe")(bout, "left", SPEED) == pytest.approx(every(0.75 * PERIOD_S), abs=0.002)
    assert farthest_ahead("ankle")(bout, "right", SPEED) == pytest.approx(every(0.75 * PERIOD_S), abs=0.002)


@pytest.mark.parametrize("share", [0.7, 1.3])
def test_slower_and_faster_than_a_share_of_the_walking_speed(share: float) -> None:
    bout = swinging()
    # SPEED + REACH w cos(w t) = share SPEED
    turn = float(np.arccos((share - 1.0) * SPEED / (REACH * 2.0 * np.pi / PERIOD_S))) / (2.0 * np.pi) * PERIOD_S
    assert slower_than("ankle", share)(bout, "left", SPEED) == pytest.approx(every(turn), abs=0.006)
    assert faster_than("ankle", share)(bout, "left", SPEED) == pytest.approx(every(PERIOD_S - turn), abs=0.006)


def test_the_farthest_tilt_and_none_of_a_shank_that_hardly_tilts() -> None:
    assert tilted_most("knee", "ankle")(swinging(30.0 * np.cos(PHASE)), "left", SPEED) == pytest.approx(
        every(PERIOD_S), abs=0.002
    )
    assert tilted_most("knee", "ankle")(swinging(4.0 * np.cos(PHASE)), "left", SPEED) == []
    lost = swinging(30.0 * np.cos(PHASE))
    lost.points[40, JOINT_INDEX["left_knee"]] = np.nan
    assert tilted_most("knee", "ankle")(lost, "left", SPEED) == []


def test_what_a_sign_is_late_by_is_taken_off() -> None:
    bout = swinging()
    on_time = np.array(farthest_ahead("heel")(bout, "left", SPEED))
    assert Sign(farthest_ahead("heel"), 0.04).times(bout, "left", SPEED) == pytest.approx(on_time - 0.04)


def a_walk() -> Bout:
    seen = seen_from_the_side(recorded("healthy", noise_m=0.0)[0], RATE_HZ, 5)
    (bout,) = find_bouts(clean(seen).tracks)
    return bout


@pytest.mark.parametrize("method", [Contact(), Contact.of_ankles()])
def test_an_event_is_the_weighted_mean_of_its_signs_the_slow_way(method: Contact) -> None:
    bout = a_walk()
    speed = float(np.polyfit(bout.time_s, bout.points[:, [7, 8], 0].mean(axis=1), 1)[0])
    rough = Zeni(ends=method.ends).detect(bout)
    found = method.detect(bout)
    assert len(found) >= len(rough) > 10
    checked = 0
    for event in rough:
        signs = (OF_ANKLES if method.ends == ANKLES else OF_FEET)[event.type]
        middle = event.time_s - signs[0].late_s
        total, weights = signs[0].weight * middle, signs[0].weight
        for sign in signs[1:]:
            near = [time_s - sign.late_s for time_s in sign.find(bout, event.side, speed)]
            near = [time_s for time_s in near if abs(time_s - middle) <= SEARCH_S]
            if near:
                total += sign.weight * min(near, key=lambda time_s: abs(time_s - middle))
                weights += sign.weight
        same = [one.time_s for one in found if (one.side, one.type) == (event.side, event.type)]
        checked += min(abs(time_s - total / weights) for time_s in same) < 1e-9
    assert checked >= len(rough) - 2  # near the ends order and edges may decide otherwise


def test_signs_that_disagree_make_an_event_less_sure() -> None:
    bout = a_walk()
    sure = np.mean([event.confidence for event in Contact().detect(bout)])
    late = replace(bout, points=bout.points.copy())
    for side in SIDES:  # ankles that lag by two frames
        late.points[2:, JOINT_INDEX[f"{side}_ankle"]] = bout.points[:-2, JOINT_INDEX[f"{side}_ankle"]]
    assert np.mean([event.confidence for event in Contact().detect(late)]) < sure - 0.02
