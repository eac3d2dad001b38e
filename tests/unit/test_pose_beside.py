"""The search of a picture beside the network that follows: the same outcome with threads as without."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from gaitkeeper_client.capture.video import Frame
from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose
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
        return next(iter(self.see(image)), None)

    def forget(self) -> None:
        """Nothing to forget."""

    def see(self, image: NDArray[np.uint8]) -> tuple[PersonPose, ...]:
        return tuple(_person(float(x), float(y)) for y, x in np.argwhere(image[..., 0] == 255))


def _person(x: float, y: float) -> PersonPose:
    points = np.full((len(JOINTS), 2), y - 25.0)
    points[:, 0] = x
    swing = 0.3 * SIZE_PX * np.sin(x / 8.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for part, below in _HEIGHTS.items():
            away = sign * swing if part in ("ankle", "heel", "toe") else 0.0
            points[JOINT_INDEX[f"{side}_{part}"]] = x + away, y + below
    return PersonPose(points, np.ones(len(JOINTS)))


def _followed(pool: ThreadPoolExecutor | None) -> tuple[list[Track], list[int]]:
    estimator = BrightSpots()
    people = People(estimator, pool)
    for number in range(FRAMES):
        image = np.zeros((240, 640, 3), dtype=np.uint8)
        image[80, 60 + 4 * number] = 255
        if number > FIND_EVERY // 2:
            image[200, 600 - 4 * number] = 255
        people.see(Frame(number, number / 30.0, image))
    return people.tracks, estimator.searched_in


def test_a_search_beside_the_following_finds_the_same_people() -> None:
    with ThreadPoolExecutor(4) as pool:
        threaded, searched_in = _followed(pool)
    alone, searched_here = _followed(None)
    assert set(searched_here) == {threading.get_ident()}
    assert set(searched_in) - {threading.get_ident()}, "nothing was searched in a thread"
    assert len(searched_in) == len(searched_here)
    assert len(alone) == len(threaded) == 2
    for one, other in zip(alone, threaded, strict=True):
        assert one.frames == other.frames
        assert len(one.frames) > FIND_EVERY
        np.testing.assert_array_equal(np.stack(one.points), np.stack(other.points))


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
