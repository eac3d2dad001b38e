"""Every other picture is shown to the network in a mirror, so that its errors take turns and cancel out.

A network's error at a joint depends on what it sees around the joint, and in the mirror it sees something else: the two
errors that one and the same walk had in the near knee's range of motion, seen plainly and all in the mirror, had
nothing to do with one another (r = 0.04 over 16 drawn walkers). To look twice at every picture and take the mean is
common for still images ("flip test", Newell, Yang & Deng 2016, doi:10.1007/978-3-319-46484-8_29). In a video the looks
can take turns, which costs no time: the error then differs from every sample to the next, and what has half the sample
rate, the low-pass of :mod:`~gaitkeeper_client.gait.clean` takes away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.pose.base import PersonPose, PoseFollower
from gaitkeeper_shared.skeleton import JOINTS, SIDES, other_side


class InTurns:
    """A :class:`~gaitkeeper_client.pose.base.PoseFollower` of two: pictures go to the first, and the mirror image of
    every other one to the second.

    Neither needs what the other saw, so that two pictures that follow one another can be looked at at the same time.
    """

    def __init__(self, plain: PoseFollower, mirror: PoseFollower) -> None:
        self._now, self._next = plain, mirror
        self._plain = plain
        self._waited_s = 0.0

    def follow(self, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
        """The person in the cut-out."""
        return self.turn(seconds)(image)

    def turn(self, seconds: float) -> Callable[[NDArray[np.uint8]], PersonPose | None]:
        """Whose turn it is, ``seconds`` after the last one: taken in order of time, called in any order, each once."""
        look, since = self._now, seconds + self._waited_s
        self._now, self._next, self._waited_s = self._next, look, seconds
        return partial(look.follow if look is self._plain else partial(_in_the_mirror, look), seconds=since)

    def forget(self) -> None:
        """Both let go."""
        self._now.forget()
        self._next.forget()


def _in_the_mirror(look: PoseFollower, image: NDArray[np.uint8], seconds: float) -> PersonPose | None:
    pose = look.follow(mirrored(image), seconds)
    return None if pose is None else turned_back(pose, image.shape[1])


def mirrored(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mirror image of an (H, W, 3) picture."""
    import cv2

    return np.asarray(cv2.flip(image, 1), dtype=np.uint8)  # NumPy's copy takes 3 ms of a network's 25


def turned_back(pose: PersonPose, width: int) -> PersonPose:
    """A pose seen in the mirror image of a picture that is ``width`` pixels wide, as a pose of that picture."""
    points = pose.points[_PARTNERS]
    points[:, 0] = width - points[:, 0]
    return PersonPose(points, pose.confidence[_PARTNERS])


def _partner(joint: str) -> int:
    side, _, part = joint.partition("_")
    return JOINTS.index(f"{other_side(side)}_{part}" if side in SIDES else joint)


_PARTNERS = np.array([_partner(joint) for joint in JOINTS])
