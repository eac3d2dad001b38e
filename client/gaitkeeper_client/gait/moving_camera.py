"""What a camera that moves leaves of an analysis: times and angles, no lengths.

A walker's way is seen against the picture's frame. Where that frame moves by more than :data:`LARGEST_SHIFT` during a
walk, or the picture grows by more than :data:`LARGEST_ZOOM`, lengths, speed and what is made of the pelvis' path are
withheld. Joint angles and the order of the feet do not depend on where the camera looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.definitions import DEFINITIONS, Definition
from gaitkeeper_client.gait.refusals import refused
from gaitkeeper_client.pose.camera import CameraMotion

LARGEST_SHIFT = 0.02
"""Widths of the picture during one straight walk. A walk through the whole picture would be 2 % too short or long."""
LARGEST_ZOOM = 0.03
_MADE_OF_WAY = ("step_length_ratio", "stride_length_cv", "dimensionless_speed")
_MADE_OF_PATH = "harmonic_ratio"


def moves_during(camera: CameraMotion | None, bout: Bout) -> bool:
    """Whether the camera moved too far during a walk; what is not known is taken as standing still."""
    if camera is None:
        return False
    shift, zoom = camera.range_between(float(bout.time_s[0]), float(bout.time_s[-1]))
    return shift > LARGEST_SHIFT or zoom > LARGEST_ZOOM


def without_ways(
    parameters: Mapping[str, Parameter], camera: CameraMotion | None, bouts: Sequence[Bout]
) -> dict[str, Parameter]:
    """The parameters, with those that need a camera at rest withheld where it moved during one of the walks."""
    if not any(moves_during(camera, bout) for bout in bouts):
        return dict(parameters)
    return {
        name: _withheld(DEFINITIONS[name], parameter) if _needs_rest(DEFINITIONS[name]) else parameter
        for name, parameter in parameters.items()
    }


def describe_camera(camera: CameraMotion | None, bouts: Sequence[Bout]) -> dict[str, str | float | None]:
    """For the ``quality``: ``camera`` (``still``, ``moves``, ``unknown``), and the largest shift of a walk."""
    if camera is None or camera.known_share == 0.0:
        return {"camera": "unknown", "camera_shift": None}
    shifts = [camera.range_between(float(bout.time_s[0]), float(bout.time_s[-1]))[0] for bout in bouts]
    moves = any(moves_during(camera, bout) for bout in bouts)
    return {"camera": "moves" if moves else "still", "camera_shift": max(shifts, default=0.0)}


def _needs_rest(row: Definition) -> bool:
    return row.length or row.name in _MADE_OF_WAY or row.name.startswith(_MADE_OF_PATH)


def _withheld(row: Definition, parameter: Parameter) -> Parameter:
    # In a picture that moves along, the person also seems to walk on the spot: the camera is why.
    if parameter.refused is not None and parameter.refused.code != "constant-place":
        return parameter
    return refused(row.unit, "moving-camera", what=row.title)
