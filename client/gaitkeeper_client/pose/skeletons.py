"""The skeletons of the pose networks, as data."""

from __future__ import annotations

from gaitkeeper_shared.skeleton import JOINTS, Skeleton

_FACE = ("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer")
_PAIRS_ABOVE = ("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb")
_PAIRS_BELOW = ("hip", "knee", "ankle", "heel", "foot_index")

BLAZEPOSE_33 = Skeleton(
    name="blazepose-33",
    points=_FACE + tuple(f"{side}_{part}" for part in _PAIRS_ABOVE + _PAIRS_BELOW for side in ("left", "right")),
    joints={joint: (joint.replace("_toe", "_foot_index"),) for joint in JOINTS},
)
"""The 33 points of BlazePose in the network's order (Bazarevsky et al. 2020, arXiv:2006.10204)."""
