"""A straight walk as a camera square to it would see it."""

from __future__ import annotations

from dataclasses import replace

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


def view_of(bout: Bout, positions: FloatArray, picture: Picture | None) -> View:
    """The view of one walk in the (T, J, D) points of the whole recording.

    Who walks in one place does not travel across the picture: what grows there is no perspective.
    """
    return estimate_view(positions[bout.start : bout.stop], None if bout.constant_place else picture, bout.duration_s)


def set_square(bout: Bout, view: View) -> Bout:
    """The walk with its points as seen square from the side; the same walk where no perspective is known."""
    if view.perspective is None or isinstance(bout.heading, tuple):
        return bout
    image = bout.points.copy()
    image[..., 0] *= bout.heading
    points = sagittal_plane(square(image, view.perspective), bout.heading)
    return replace(bout, points=points, leg=leg_length(points))
