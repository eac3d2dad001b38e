"""From frames to the trajectories of the person who walks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from gaitkeeper_client.capture.cores import threads_allowed
from gaitkeeper_client.capture.video import FrameSource
from gaitkeeper_client.pose.base import PoseEstimator
from gaitkeeper_client.pose.camera import CameraMotion, CameraWatch, boxes_of
from gaitkeeper_client.pose.identity import persons
from gaitkeeper_client.pose.people import FOLLOWED, People
from gaitkeeper_client.pose.returns import walker_with_returns
from gaitkeeper_client.pose.tracking import as_arrays
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINTS

LEG_PARTS = ("hip", "knee", "ankle", "heel", "toe")

LEG_JOINTS = [index for index, name in enumerate(JOINTS) if name.split("_")[-1] in LEG_PARTS]


@dataclass(frozen=True, slots=True)
class Sighting:
    """``trajectories`` of the walker in pixels with y up, over the whole clip; None where nobody was seen.

    ``camera``: how the camera moved meanwhile. ``encounters_s``: seconds at which the walker came near somebody on
    another way. ``switches_s``: seconds at which the network went over from the walker to another or back: there the
    track was cut, and what lies between was dropped. ``returns_s``: seconds at which the walker came back into sight.
    """

    trajectories: JointTrajectories | None
    frames: int
    people: int
    camera: CameraMotion | None = None
    encounters_s: tuple[float, ...] = ()
    switches_s: tuple[float, ...] = ()
    returns_s: tuple[float, ...] = ()


def follow_walker(
    video: FrameSource, estimator: PoseEstimator, on_progress: Callable[[int, int], None] | None = None
) -> Sighting:
    """Run the estimator over every frame and pick the walker. Keeps points, never frames."""
    camera = CameraWatch()
    with ThreadPoolExecutor(2 * FOLLOWED + 1, "follow") as threads:
        pool = threads if threads_allowed() > 1 else None
        people = People(estimator, pool)
        look: Future[None] | None = None
        for frame, following in pairwise(chain(video, (None,))):
            assert frame is not None  # only the last one's following is
            people.see(frame, following)
            if look is not None:  # it had the time of a frame, mostly a network's, for a tenth of that
                look.result()
                look = None
            if camera.due(frame.time_s):
                boxes = boxes_of(people.in_view())
                if pool is None:
                    camera.see(frame.image, frame.time_s, boxes)
                else:
                    look = pool.submit(camera.see, frame.image, frame.time_s, boxes)
            if on_progress is not None:
                on_progress(len(people.times), video.info.frames)
        if look is not None:
            look.result()
    everyone = persons(people.tracks)
    found = walker_with_returns([person.track for person in everyone])
    if found is None:
        return Sighting(None, len(people.times), 0, camera.motion())
    points, confidence = as_arrays(found.track, len(people.times))
    # The network guesses on where a limb has left the picture; a guess is not a measurement. With a leg outside, it
    # is unsure of the other one, too.
    inside = ~np.any((points < 0.0) | (points > (video.info.width, video.info.height)), axis=-1)
    inside &= np.all(inside[:, LEG_JOINTS], axis=1, keepdims=True)
    points[~inside] = np.nan
    confidence[~inside] = 0.0
    points[..., 1] = video.info.height - points[..., 1]
    trajectories = JointTrajectories(np.array(people.times), points, "px", confidence)
    own = [person for person in everyone if any(person.track is piece for piece in found.pieces)]
    return Sighting(
        trajectories,
        len(people.times),
        len(everyone) - len(own) + 1,
        camera.motion(),
        tuple(round(time, 3) for time in found.track.encounters),
        tuple(sorted({time for person in own for time in person.switches})),
        found.returns_s,
    )
