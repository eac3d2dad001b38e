"""A straight walk as a camera square to it would see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.perspective import Picture, square
from gaitkeeper_client.gait.view import View, estimate_view
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.kinematics import leg_length, sagittal_plane


def picture_of(analysis: Analysis) -> Picture | None:
    """The picture of the video that an analysis is of; None where there is none, or where its camera moved."""
    width, height = (analysis.source.get(f"{side}_px") for side in ("width", "height"))
    if not (isinstance(width, int) and isinstance(height, int)) or analysis.quality.get("camera") == "moves":
        return None
    return Picture(width, height)


def views_of(bouts: Sequence[Bout], positions: FloatArray, picture: Picture | None) -> list[View]:
    """The view of each walk in the (T, J, D) points of the whole recording.

    Walks in one direction are parts of one, between which the walker was not seen. Who walks in one place does not
    travel across the picture: what grows there is no perspective.
    """
    return [_view(bout, [other for other in bouts if _same_way(other, bout)], positions, picture) for bout in bouts]


def _view(bout: Bout, parts: Sequence[Bout], positions: FloatArray, picture: Picture | None) -> View:
    if bout.constant_place or positions.shape[2] == 3:
        return estimate_view(positions[bout.start : bout.stop])
    seen = np.concatenate([positions[part.start : part.stop] for part in parts])
    return estimate_view(seen, picture, sum(part.duration_s for part in parts))


def _same_way(one: Bout, other: Bout) -> bool:
    return one.heading == other.heading and one.constant_place == other.constant_place


def set_square(bout: Bout, view: View) -> Bout:
    """The walk with its points as seen square from the side; the same walk where no perspective is known."""
    if view.perspective is None or isinstance(bout.heading, tuple):
        return bout
    image = bout.points.copy()
    image[..., 0] *= bout.heading
    points = sagittal_plane(square(image, view.perspective), bout.heading)
    return replace(bout, points=points, leg=leg_length(points))
