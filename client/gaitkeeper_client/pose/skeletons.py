"""The skeletons of the pose networks, as data."""

from __future__ import annotations

from collections.abc import Mapping

from gaitkeeper_client.pose.readers.skeletons import BODY_25, COCO_17
from gaitkeeper_shared.skeleton import JOINTS, SIDES, Skeleton

_FACE = ("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer")
_PAIRS_ABOVE = ("ear", "mouth", "shoulder", "elbow", "wrist", "pinky", "index", "thumb")
_PAIRS_BELOW = ("hip", "knee", "ankle", "heel", "foot_index")

BLAZEPOSE_33 = Skeleton(
    name="blazepose-33",
    points=_FACE + tuple(f"{side}_{part}" for part in _PAIRS_ABOVE + _PAIRS_BELOW for side in ("left", "right")),
    joints={joint: (joint.replace("_toe", "_foot_index"),) for joint in JOINTS},
)
"""The 33 points of BlazePose in the network's order (Bazarevsky et al. 2020, arXiv:2006.10204)."""

_WITH_FEET: Mapping[str, tuple[str, ...]] = {joint: (joint.replace("_toe", "_big_toe"),) for joint in JOINTS}

HALPE_26 = Skeleton(
    name="halpe-26",
    points=(
        *COCO_17.points, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
        "left_heel", "right_heel",
    ),
    joints=_WITH_FEET,
)  # fmt: skip
"""COCO's body with head, neck, the hips' middle and feet (Fang et al. 2022, AlphaPose, arXiv:2211.03375)."""

WHOLEBODY_133 = Skeleton(
    name="coco-wholebody-133",
    points=(
        *COCO_17.points,
        *(f"{side}_{part}" for side in SIDES for part in ("big_toe", "small_toe", "heel")),
        *(f"face_{number}" for number in range(68)),
        *(f"{side}_hand_{number}" for side in SIDES for number in range(21)),
    ),
    joints=_WITH_FEET,
)
"""COCO-WholeBody: body, feet, face and hands (Jin et al. 2020, arXiv:2007.11858)."""

OF_NETWORKS: Mapping[str, Skeleton] = {
    "coco-17": COCO_17,
    "body-25": BODY_25,
    "halpe-26": HALPE_26,
    "blazepose-33": BLAZEPOSE_33,
    "coco-wholebody-133": WHOLEBODY_133,
}
"""What a network given by a site may deliver, by the name under which it is chosen."""
