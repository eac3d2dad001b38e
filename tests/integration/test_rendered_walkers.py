"""Walkers drawn with known truth, through the pose network: a camera that stands still, and one that turns along."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.pose.camera import CameraWatch, boxes_of
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.simulation.camera import Camera, camera_for
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.truth import WalkTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk

SECONDS = 5.0
RATE = 30.0
WIDE, NARROW, HEIGHT = 960, 720, 400
Pan = Callable[[float], int]
"""Left edge of the picture in the wide one, in pixels, over seconds."""


def still(_: float) -> int:
    return (WIDE - NARROW) // 2


def turning(time_s: float) -> int:
    """From one edge to the other: with the walker, who stays in the picture."""
    return round((WIDE - NARROW) * time_s / SECONDS)


@cache
def wide_walk() -> tuple[Walk, Camera, WalkTruth]:
    walk = Walk(draw_patient("p", "parkinsonian", 4), SECONDS)
    camera = camera_for(walk.positions(np.linspace(0.0, SECONDS, 50)), (NARROW, HEIGHT), "side", "left_to_right")
    wide = Camera(camera.position, camera.right, camera.forward, camera.focal_px, WIDE, HEIGHT)
    return walk, wide, walk_truth(walk)


def film(path: Path, pan: Pan) -> None:
    import cv2

    from gaitkeeper_shared.simulation.render import frames

    walk, camera, _ = wide_walk()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (NARROW, HEIGHT))
    for number, image in enumerate(frames(walk, camera, RATE)):
        left = pan(number / RATE)
        writer.write(np.ascontiguousarray(image[:, left : left + NARROW]))
    writer.release()


def filmed(folder: Path, pan: Pan) -> Analysis:
    path = folder / "walk.mp4"
    film(path, pan)
    return analyse_file(path, height_m=wide_walk()[0].patient.height_m)


def test_a_rendered_walker_is_measured_leg_by_leg(tmp_path: Path) -> None:
    truth = wide_walk()[2].parameters
    analysis = filmed(tmp_path, still)
    assert analysis.status == "analysed"
    assert analysis.quality["camera"] == "still"
    assert analysis.parameters["cadence"].value == pytest.approx(truth.cadence, rel=0.02)
    assert analysis.parameters["step_length"].value == pytest.approx(truth.step_length, rel=0.06)
    for side in ("left", "right"):
        ranges = [np.ptp(c.curves[f"knee_flexion_{side}"]) for c in analysis.cycles if c.side == side]
        assert np.mean(ranges) == pytest.approx(getattr(truth, f"knee_range_{side}"), abs=8.0), side


def test_a_camera_that_turns_along_leaves_times_and_no_lengths(tmp_path: Path) -> None:
    truth = wide_walk()[2].parameters
    analysis = filmed(tmp_path, turning)
    assert analysis.status == "analysed"
    assert analysis.quality["camera"] == "moves"
    assert analysis.quality["camera_shift"] > 0.1
    assert analysis.parameters["cadence"].value == pytest.approx(truth.cadence, rel=0.02)
    for name in ("step_length", "stride_length", "walking_speed"):
        why = analysis.parameters[name].refused
        assert why is not None
        assert why.code == "moving-camera", name


@pytest.mark.parametrize(("pan", "shift"), [(still, 0.0), (turning, (WIDE - NARROW) / NARROW)])
def test_the_way_of_the_background_is_measured(pan: Pan, shift: float) -> None:
    from gaitkeeper_shared.simulation.render import frames

    walk, camera, _ = wide_walk()
    watch = CameraWatch()
    times = np.arange(int(SECONDS * RATE) + 1) / RATE
    pixels, _ = camera.project(walk.positions(times))
    for number, image in enumerate(frames(walk, camera, RATE)):
        time_s, left = number / RATE, pan(number / RATE)
        boxes = boxes_of([pixels[number] - np.array([left, 0.0])])
        watch.see(np.ascontiguousarray(image[:, left : left + NARROW]), time_s, boxes)
    motion = watch.motion()
    assert motion.known_share > 0.8
    assert motion.range_between(0.0, SECONDS)[0] == pytest.approx(shift, abs=0.01 + 0.15 * shift)
    # Half the time is about half the way: a pan is not smeared over the clip.
    assert motion.range_between(0.0, SECONDS / 2)[0] == pytest.approx(shift / 2, abs=0.02 + 0.15 * shift)


def test_zooming_and_a_wall_without_corners() -> None:
    import cv2

    random = np.random.default_rng(3)
    room = cv2.GaussianBlur(random.integers(0, 255, (HEIGHT, NARROW, 3), dtype=np.uint8), (15, 15), 0)
    room = cv2.normalize(room, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    zooming, blank = CameraWatch(), CameraWatch()
    for number in range(11):
        zoom = 1.0 + 0.01 * number
        grown = cv2.resize(room, None, fx=zoom, fy=zoom)
        top, left = (grown.shape[0] - HEIGHT) // 2, (grown.shape[1] - NARROW) // 2
        zooming.see(np.ascontiguousarray(grown[top : top + HEIGHT, left : left + NARROW]), 0.2 * number, ())
        blank.see(np.full((HEIGHT, NARROW, 3), 90, dtype=np.uint8), 0.2 * number, ())
    shift, grew = zooming.motion().range_between(0.0, 2.0)
    assert grew == pytest.approx(np.log(1.1), abs=0.02)
    assert shift < 0.02
    assert blank.motion().known_share == 0.0
    assert blank.motion().range_between(0.0, 2.0) == (0.0, 0.0)


@pytest.mark.parametrize(("person", "moves"), [(None, True), ((600.0, 80.0, 660.0, 330.0), True), ("beside", False)])
def test_a_poster_on_a_bare_wall_tells_of_a_pan_and_a_wheelchair_does_not(person: object, moves: bool) -> None:
    """The same picture: of what moves together in a small place, only whose user sits in it is known."""
    random = np.random.default_rng(4)
    poster = random.integers(0, 255, (80, 100, 3), dtype=np.uint8).repeat(2, axis=0)
    watch = CameraWatch()
    for number in range(12):
        image = np.full((HEIGHT, NARROW, 3), 180, dtype=np.uint8)
        left = 60 + 12 * number
        image[150:310, left : left + 100] = poster
        boxes = [(left + 10.0, 60.0, left + 60.0, 320.0)] if person == "beside" and number > 2 else []
        boxes += [person] if isinstance(person, tuple) else []
        watch.see(image, 0.3 * number, boxes)
    shift, _ = watch.motion().range_between(0.0, 3.3)
    assert (shift > 0.1) == moves
    if not moves:
        assert shift == 0.0
