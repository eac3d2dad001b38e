"""Looks that do not wait for one another, in threads: the same outcome as one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from gaitkeeper_client.capture.video import Frame
from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose
from gaitkeeper_client.pose.mirrored import InTurns
from gaitkeeper_client.pose.people import FIND_EVERY, SEEK_EVERY, People
from gaitkeeper_client.pose.tracking import Track
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

FRAMES = 3 * FIND_EVERY
SIZE_PX = 60.0
_HEIGHTS = {"shoulder": -20.0, "hip": 0.0, "knee": 15.0, "ankle": 28.0, "heel": 30.0, "toe": 30.0}


class BrightSpots:
    """An estimator that sees a person around every white pixel."""

    def __init__(self) -> None:
        self.searched_in: list[int] = []
        self.looked_in: list[int] = []
        self.identity = EstimatorIdentity("bright-spots", "none", "0" * 64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        self.searched_in.append(threading.get_ident())
        return self.see(image)

    def follower(self) -> BrightSpots:
        return self

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        assert seconds > 0.0
        self.looked_in.append(threading.get_ident())
        return next(iter(self.see(image)), None)

    def forget(self) -> None:
        """Nothing to forget."""

    def see(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        return tuple(_person(float(x), float(y)) for y, x in np.argwhere(image[..., 0] == 255))


def _person(x: float, y: float, step: float = 0.3) -> PersonPose:
    points = np.full((len(JOINTS), 2), y - 25.0)
    points[:, 0] = x
    swing = step * SIZE_PX * np.sin(x / 8.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for part, below in _HEIGHTS.items():
            away = sign * swing if part in ("ankle", "heel", "toe") else 0.0
            points[JOINT_INDEX[f"{side}_{part}"]] = x + away, y + below
    return PersonPose(points, np.ones(len(JOINTS)))


class BrightSpotsInTurns(BrightSpots):
    """The same with looks in turns."""

    def follower(self) -> InTurns:  # type: ignore[override]  # as MediaPipe's
        return InTurns(self, self)


def _images() -> Iterator[Frame]:
    """Two people who walk towards each other on different heights; the second comes later."""
    for number in range(FRAMES):
        image = np.zeros((240, 640, 3), dtype=np.uint8)
        image[80, 60 + 4 * number] = 255
        if number > FIND_EVERY // 2:
            image[200, 600 - 4 * number] = 255
        yield Frame(number, number / 30.0, image)


def _see_all(people: People, frames: Iterable[Frame]) -> None:
    for frame, following in pairwise([*frames, None]):
        assert frame is not None
        people.see(frame, following)


def _followed(estimator: BrightSpots, pool: ThreadPoolExecutor | None) -> list[Track]:
    people = People(estimator, pool)
    _see_all(people, _images())
    return people.tracks


def _assert_same(one: list[Track], other: list[Track]) -> None:
    assert len(one) == len(other) == 2
    for track, same in zip(one, other, strict=True):
        assert track.frames == same.frames
        assert len(track.frames) > FIND_EVERY
        np.testing.assert_array_equal(np.stack(track.points), np.stack(same.points))


@pytest.mark.parametrize("kind", [BrightSpots, BrightSpotsInTurns])
def test_threads_find_the_same_people(kind: type[BrightSpots]) -> None:
    beside, alone = kind(), kind()
    with ThreadPoolExecutor(4) as pool:
        threaded = _followed(beside, pool)
    _assert_same(_followed(alone, None), threaded)
    here = threading.get_ident()
    assert set(alone.searched_in) == set(alone.looked_in) == {here}
    assert set(beside.searched_in) - {here}, "nothing was searched in a thread"
    assert set(beside.looked_in) - {here}, "nobody was looked at in a thread"
    assert len(beside.searched_in) == len(alone.searched_in)
    assert len(beside.looked_in) == len(alone.looked_in)


class Half(BrightSpots):
    """One of two that take turns: notes each frame, told by its green, and the seconds since the last."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, float]] = []

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        self.seen.append((int(image[..., 1].max()), seconds))
        return super().follow(image, seconds)


class Halves(BrightSpots):
    """Follows with two that can be told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Half, Half]] = []

    def follower(self) -> InTurns:  # type: ignore[override]  # as MediaPipe's
        self.pairs.append((Half(), Half()))
        return InTurns(*self.pairs[-1])


def _crossing() -> Iterator[Frame]:
    """Two who pass one another; the time between frames is not even."""
    for number in range(FRAMES + FIND_EVERY):
        image = np.zeros((240, 640, 3), dtype=np.uint8)
        image[..., 1] = number
        image[100, 60 + 4 * number, 0] = 255
        image[116, 600 - 4 * number, 0] = 255
        yield Frame(number, number / 30.0 + 0.004 * (number % 3), image)


def test_turns_are_taken_frame_by_frame_with_the_time_since_the_last() -> None:
    estimator = Halves()
    frames = [frame for frame in _crossing() if frame.index < 2 * SEEK_EVERY]
    times = [frame.time_s for frame in frames]
    _see_all(People(estimator), frames)
    for plain, mirror in estimator.pairs:  # from the second frame on: in the first one he is found
        assert [number for number, _ in plain.seen] == list(range(1, len(frames), 2))
        assert [number for number, _ in mirror.seen] == list(range(2, len(frames), 2))
        for half in (plain, mirror):
            for (before, _), (number, seconds) in pairwise(half.seen):
                assert seconds == pytest.approx(times[number] - times[before])


def test_those_who_pass_one_another_are_told_apart_alike_with_threads_and_without() -> None:
    alone = People(Halves())
    _see_all(alone, _crossing())
    with ThreadPoolExecutor(4) as pool:
        threaded = People(Halves(), pool)
        _see_all(threaded, _crossing())
    _assert_same(alone.tracks, threaded.tracks)
    assert all(track.encounters for track in alone.tracks)


def test_two_frames_are_looked_at_at_the_same_time() -> None:
    """Each look waits for another one: alone, none would come to its end."""
    both = threading.Barrier(2, timeout=10.0)

    class Meets(Half):
        def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
            both.wait()
            return super().follow(image, seconds)

    class MeetsInTurns(BrightSpots):
        def follower(self) -> InTurns:  # type: ignore[override]  # as MediaPipe's
            return InTurns(Meets(), Meets())

    def alone() -> Iterator[Frame]:
        for number in range(5):
            image = np.zeros((240, 640, 3), dtype=np.uint8)
            image[80, 60 + 4 * number] = 255
            yield Frame(number, number / 30.0, image)

    with ThreadPoolExecutor(2) as pool:
        people = People(MeetsInTurns(), pool)
        _see_all(people, alone())
    assert people.tracks[0].frames == list(range(5))


class ShortSteps(BrightSpots):
    """People whose feet hardly pass each other."""

    def see(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        return tuple(_person(float(x), float(y), step=0.05) for y, x in np.argwhere(image[..., 0] == 255))


@pytest.mark.parametrize(("speed_px", "followed"), [(0.0, 61), (1.0, FRAMES)])
def test_short_steps_are_steps_where_they_lead_somewhere(speed_px: float, followed: int) -> None:
    """Who has not moved for two seconds is let go; a walker of 0.8 m/s with steps of a few centimetres is not."""
    people = People(ShortSteps())
    for number in range(FRAMES):
        image = np.zeros((240, 640, 3), dtype=np.uint8)
        image[80, 60 + round(speed_px * number)] = 255
        people.see(Frame(number, number / 30.0, image))
    assert people.tracks[0].frames == list(range(followed))


def test_what_fails_in_the_search_reaches_the_caller() -> None:
    here = threading.get_ident()

    class FailsBeside(BrightSpots):
        def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
            if threading.get_ident() != here:
                raise ValueError("broken")
            return super().find(image)

    image = np.zeros((240, 640, 3), dtype=np.uint8)
    image[80, 60] = 255
    with ThreadPoolExecutor(2) as pool:
        people = People(FailsBeside(), pool)
        for number in range(SEEK_EVERY):
            people.see(Frame(number, number / 30.0, image))
        with pytest.raises(ValueError, match="broken"):
            people.see(Frame(SEEK_EVERY, SEEK_EVERY / 30.0, image))


class WrongAtFirst(BrightSpots):
    """A detector whose first guess is before the person, whom nobody finds there again."""

    def find(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        found = super().find(image)
        if len(self.searched_in) > 1:
            return found
        return tuple(PersonPose(pose.points + SIZE_PX * np.array([0.45, -0.4]), pose.confidence) for pose in found)


def test_a_lone_walker_meets_nobody() -> None:
    people = People(WrongAtFirst())
    images = [np.zeros((240, 640, 3), dtype=np.uint8) for _ in range(FRAMES)]
    for number, image in enumerate(images):
        image[80, 60 + 4 * number] = 255
    _see_all(people, [Frame(number, number / 30.0, image) for number, image in enumerate(images)])
    assert len(people.tracks) == 2
    assert max(len(track.frames) for track in people.tracks) > FRAMES - SEEK_EVERY
    assert not any(track.encounters for track in people.tracks)
