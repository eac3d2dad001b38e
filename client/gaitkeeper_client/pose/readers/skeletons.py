"""The skeletons of other programs, as data."""

from __future__ import annotations

from gaitkeeper_shared.skeleton import JOINTS, SIDES, Skeleton

_WITHOUT_FEET = {name: (name,) for name in JOINTS if not name.endswith(("_heel", "_toe"))}

BODY_25 = Skeleton(
    name="openpose-body-25",
    points=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
        "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
        "right_small_toe", "right_heel",
    ),
    joints={
        **_WITHOUT_FEET,
        **{f"{side}_heel": (f"{side}_heel",) for side in SIDES},
        **{f"{side}_toe": (f"{side}_big_toe",) for side in SIDES},
    },
)  # fmt: skip
"""OpenPose's body with feet (Cao et al. 2019, doi:10.1109/TPAMI.2019.2929257)."""

OPENPOSE_COCO_18 = Skeleton(
    name="openpose-coco-18",
    points=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
        "right_ear", "left_ear",
    ),
    joints=_WITHOUT_FEET,
)  # fmt: skip
"""OpenPose's older body; it has no feet."""

COCO_17 = Skeleton(
    name="coco-17",
    points=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    joints=_WITHOUT_FEET,
)  # fmt: skip
"""The points of the COCO data set (Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48); no feet."""

BODY_25B = Skeleton(
    name="openpose-body-25b",
    points=(
        *COCO_17.points, "upper_neck", "head_top", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
        "right_small_toe", "right_heel",
    ),
    joints=BODY_25.joints,
)  # fmt: skip
"""OpenPose's experimental body, in COCO's order. BODY_135 begins with it and goes on with hands and face."""

BY_LENGTH = {len(skeleton.points): skeleton for skeleton in (BODY_25, OPENPOSE_COCO_18, COCO_17)} | {135: BODY_25B}
"""OpenPose's files do not name their skeleton; the number of points does, but for BODY_25 and BODY_25B."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "wrist": ("wrist", "hand"),
    "hip": ("hip",),
    "knee": ("knee",),
    "ankle": ("ankle",),
    "heel": ("heel",),
    "toe": ("bigtoe", "toe", "footindex", "toetip", "hallux", "mtp", "forefoot"),
}
"""What free skeletons (DeepLabCut) call our joints, without the side, in lower case and letters only."""

_MPII_SIDES = {"1": "right", "2": "left"}
"""DeepLabCut's ready-made human model numbers the sides."""


def joints_of(names: tuple[str, ...]) -> dict[str, str]:
    """Our joint for each of a free skeleton's names that can be understood: joint to the skeleton's own name."""
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in reversed(names)}
    found: dict[str, str] = {}
    if "nose" in plain:
        found["nose"] = plain["nose"]
    numbers = {side: number for number, side in _MPII_SIDES.items()}
    for joint in JOINTS:
        side, _, part = joint.partition("_")
        for word in SYNONYMS.get(part, ()):
            forms = (side + word, word + side, side[0] + word, word + side[0], word + numbers.get(side, "?"))
            own = next((plain[form] for form in forms if form in plain), None)
            if own is not None:
                found.setdefault(joint, own)
    return found
