"""Who is who when people pass one another: switches of a tracker are found and undone, true turns are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.pose.base import PersonPose
from gaitkeeper_client.pose.encounters import Course, course_of, meet, settle, standing
from gaitkeeper_client.pose.identity import BETWEEN_S, persons, switches_of
from gaitkeeper_client.pose.tracking import Track, walker, walking_score
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

RATE = 30.0
BODY_PX = 300.0
HEIGHTS = {"nose": 0.93, "shoulder": 0.82, "elbow": 0.62, "wrist": 0.48, "hip": 0.53, "knee": 0.28, "ankle": 0.05}


def pose_at(x: float, phase: float, facing: int = 1, y: float = 400.0) -> PersonPose:
    """A stick figure with its feet at ``y``; the legs swing with ``phase``, the feet point where it is ``facing``."""
    points = np.zeros((len(JOINTS), 2))
    for joint, index in JOINT_INDEX.items():
        side, _, part = joint.partition("_")
        swing = np.sin(phase + (np.pi if side == "left" else 0.0))
        reach = {"knee": 0.10, "ankle": 0.22, "heel": 0.22, "toe": 0.22, "wrist": -0.15, "elbow": -0.06}.get(part, 0.0)
        ahead = {"heel": -0.03, "toe": 0.12}.get(part, 0.05 if joint == "nose" else 0.0)
        up = HEIGHTS.get(part or side, 0.0)
        points[index] = x + BODY_PX * (reach * swing + facing * ahead), y - BODY_PX * up
    return PersonPose(points, np.ones(len(JOINTS)))


def track_of(way: FloatArray, first: int = 0, noise: float = 1.0, facing: int = 1) -> Track:
    """Somebody whose trunk goes this (T,) way in pixels; NaN where he was not seen."""
    random = np.random.default_rng(first)
    track = Track()
    for number, x in enumerate(way):
        if np.isfinite(x):
            pose = pose_at(float(x), 6.0 * number / RATE, facing)
            shaken = PersonPose(pose.points + random.normal(0, noise, pose.points.shape), pose.confidence)
            track.add(first + number, (first + number) / RATE, shaken)
    return track


def turning_way(speed: float, braking: float, frames: int = 180) -> FloatArray:
    """There and back: velocity goes from ``speed`` to its opposite at ``braking``, body sizes a second (squared)."""
    time = np.arange(frames) / RATE - frames / RATE / 2
    velocity = np.clip(-braking * time, -speed, speed)
    return 500.0 + BODY_PX * np.cumsum(velocity) / RATE


@pytest.mark.parametrize("every", [1, 2])
def test_who_jumps_while_left_and_right_flicker_does_not_walk(every: int) -> None:
    """``every``: so many pictures in turn show the legs as they are, and as many show them exchanged."""
    walks = track_of(np.linspace(100.0, 1300.0, 120))
    jumps = Track()
    for number in range(120):
        pose = pose_at(900.0 + 5.0 * number, 0.5 * np.pi + np.pi * (number // every % 2))
        jumps.add(number, number / RATE, pose)
    assert walking_score(walks) > 20.0
    assert walking_score(jumps) < 0.5 * walking_score(walks)
    assert walker([jumps, walks]) is walks


def test_tracks_of_the_same_frames_are_told_apart() -> None:
    one, other = track_of(np.linspace(0.0, 100.0, 20)), track_of(np.linspace(0.0, 100.0, 20))
    followed = [one, other]
    followed.remove(other)
    assert followed[0] is one


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 0.95), st.integers(40, 140), st.integers(0, 4))
def test_a_track_that_goes_over_to_another_is_cut_there(speed: float, at: int, confused: int) -> None:
    step = speed * BODY_PX / RATE
    there = 200.0 + step * np.arange(180)
    back = there[at] - step * (np.arange(180) - at)
    way = np.concatenate([there[:at], np.linspace(there[at], back[at + confused], confused), back[at + confused :]])
    switched = switches_of(track_of(way))
    assert len(switched) == 1
    assert abs(switched[0] - at) <= 4 + confused


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 0.85), st.floats(0.4, 1.6))
def test_somebody_who_turns_round_stays_himself(speed: float, braking: float) -> None:
    track = track_of(turning_way(speed, braking))
    assert switches_of(track) == []
    (person,) = persons([track])
    assert person.track is track
    assert person.switches == ()


def test_both_walkers_come_out_whole_of_a_switch() -> None:
    """One track goes over to the other person; the first is found anew a little later."""
    step = 0.7 * BODY_PX / RATE
    a = 100.0 + step * np.arange(200)
    b = a[100] - step * (np.arange(200) - 100)
    both = track_of(np.concatenate([a[:100], b[100:]]))
    first_of_b = track_of(b[:98], facing=-1)
    rest_of_a = track_of(a[110:], first=110)
    found = persons([both, first_of_b, rest_of_a])
    assert len(found) == 2
    for person, way in zip(sorted(found, key=lambda one: one.track.centers[0][0]), (a, b), strict=True):
        frames = np.array(person.track.frames)
        assert frames[0] == 0
        assert frames[-1] == 199
        assert np.abs(np.stack(person.track.centers)[:, 0] - way[frames]).max() < 0.1 * BODY_PX
        assert person.switches == pytest.approx((100 / RATE,), abs=0.1)
        unsure = np.abs(frames / RATE - person.switches[0]) < BETWEEN_S - 0.04
        assert not unsure.any(), "whose points they are around the switch is not known"


def test_alone_nobody_becomes_another() -> None:
    """A video put together from a walk and its mirror image turns at once; with nobody about, it is one person."""
    step = 0.7 * BODY_PX / RATE
    way = 100.0 + step * np.arange(100)
    alone = track_of(np.concatenate([way, way[::-1]]))
    assert len(switches_of(alone)) == 1
    far_away = track_of(np.full(200, 5000.0))
    assert [person.track for person in persons([alone])] == [alone]
    assert alone in [person.track for person in persons([alone, far_away])]


def test_pieces_of_different_people_are_not_joined() -> None:
    step = 0.7 * BODY_PX / RATE
    way = 100.0 + step * np.arange(60)
    gone_on = 100.0 + step * np.arange(70, 140)
    came_back = way[-1] - step * np.arange(60)
    assert len(persons([track_of(way), track_of(gone_on, first=70)])) == 1
    assert len(persons([track_of(way), track_of(came_back, first=66)])) == 2, "another way"
    assert len(persons([track_of(way), track_of(gone_on + 250.0, first=70)])) == 2, "another place"
    assert len(persons([track_of(way), track_of(way[-1] + step * np.arange(60), first=130)])) == 2, "too late"
    assert len(persons([track_of(way), track_of(way + 150.0)])) == 2, "at the same time elsewhere"
    (once,) = persons([track_of(way), track_of(100.0 + step * np.arange(45, 120), first=45)])
    assert once.track.frames == list(range(120)), "found again before he was given up"


def test_the_walker_is_who_gets_somewhere() -> None:
    step = 0.7 * BODY_PX / RATE
    stays = track_of(np.full(200, 300.0))
    walks = track_of(100.0 + step * np.arange(90), first=40)
    assert walker([person.track for person in persons([stays, walks])]) is walks


def test_ways_lead_on_and_who_is_off_them_is_another() -> None:
    step = 0.7 * BODY_PX / RATE
    course = course_of(track_of(100.0 + step * np.arange(60), noise=2.0))
    assert course.known
    assert course.velocity == pytest.approx([0.7 * BODY_PX, 0.0], abs=0.08 * BODY_PX)
    later = 59 / RATE + 0.5
    assert course.allows(pose_at(100.0 + step * 74, 0.3), later)
    assert not course.allows(pose_at(100.0 + step * 59, 0.3), later), "he would have stopped"
    assert not course_of(track_of(100.0 + step * np.arange(4))).known


def test_an_encounter_needs_nearness_and_different_ways() -> None:
    def way(x: float, velocity: float) -> Course:
        return Course(0.0, np.array([x, 200.0]), np.array([velocity, 0.0]), BODY_PX)

    assert meet(way(0.0, 200.0), way(350.0, -200.0), 0.6)
    assert not meet(way(0.0, 200.0), way(350.0, -200.0), 0.0), "still apart"
    assert not meet(way(0.0, 200.0), way(100.0, 210.0), 0.5), "side by side"
    assert meet(way(0.0, 200.0), standing(pose_at(200.0, 0.0), 0.0), 1.0)


def test_where_both_networks_see_one_body_it_goes_to_whose_it_is() -> None:
    step = 0.7 * BODY_PX / RATE
    right = track_of(100.0 + step * np.arange(60), noise=0.5)
    left = track_of(100.0 + step * 118 - step * np.arange(60), noise=0.5, facing=-1)
    time_s = 60 / RATE
    courses = [course_of(right), course_of(left)]
    of_right, of_left = pose_at(100.0 + step * 60, 12.0), pose_at(100.0 + step * 58, 12.0, facing=-1)
    for body, owner in ((of_right, 0), (of_left, 1)):
        kept = settle([right, left], courses, [body, body], time_s)
        assert kept[owner] is body
        assert kept[1 - owner] is None
    # Without an encounter two people who stand close both keep what was seen.
    assert settle([right, left], [None, None], [of_right, of_left], time_s) == [of_right, of_left]
    far = pose_at(700.0, 0.0)
    assert settle([right, left], courses, [far, of_left], time_s) == [None, of_left]
