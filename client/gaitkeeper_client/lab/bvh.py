"""BVH (Biovision hierarchy): a skeleton of offsets and joint angles over time, turned into joint positions.

The format has no standard; this follows M. Meredith and S. Maddock, "Motion capture file formats explained", University
of Sheffield, CS-01-11 (2001): rotations are degrees, applied in the order of the channels (first channel outermost);
position channels replace the joint's offset. BVH names neither a unit nor the vertical: the unit is told from the leg's
length, the vertical from the direction feet to shoulders.

The heel is constructed (see :mod:`gaitkeeper_client.lab.geometry`), because BVH skeletons end in the tip of the foot;
it stays NaN where the file's rest pose does not stand upright. The nose is not delivered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from gaitkeeper_client.lab.geometry import check_upright, heel_in_foot_frame, metres_per_unit, vertical_axis, z_up
from gaitkeeper_client.lab.text import broken, numbers, read_lines
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

_FORMAT = "BVH"
_MOST_JOINTS = 1000
_POSITIONS = {"Xposition": 0, "Yposition": 1, "Zposition": 2}
_ROTATIONS = {"Xrotation": 0, "Yrotation": 1, "Zrotation": 2}

NAMES: dict[str, tuple[str, ...]] = {
    "shoulder": (
        "{side}arm", "{side}uparm", "{side}upperarm", "{s}shldr", "{s}humerus", "{s}upperarm", "upperarm{s}",
        "{side}shoulder", "{s}shoulder",
    ),
    "elbow": (
        "{side}forearm", "{side}lowarm", "{side}lowerarm", "{side}elbow", "{s}forearm", "{s}radius", "{s}elbow",
        "forearm{s}", "lowerarm{s}",
    ),
    "wrist": ("{side}wrist", "{s}wrist", "{side}hand", "{s}hand", "hand{s}"),
    "hip": (
        "{side}upleg", "{side}upperleg", "{side}thigh", "{side}hip", "{s}thigh", "{s}femur", "{s}hip", "thigh{s}",
        "{s}upperleg",
    ),
    "knee": (
        "{side}leg", "{side}lowleg", "{side}lowerleg", "{side}shin", "{side}calf", "{side}knee", "{s}shin", "{s}tibia",
        "{s}calf", "{s}knee", "shin{s}", "calf{s}", "{s}lowerleg",
    ),
    "ankle": ("{side}ankle", "{s}ankle", "{side}foot", "{s}foot", "foot{s}"),
    "toe": (
        "{side}toes", "{side}toebase", "{side}toe", "{s}toes", "{s}toe", "toe{s}", "ball{s}", "{side}foot", "{s}foot",
    ),
}  # fmt: skip
"""What skeletons call our joints (lower case, letters and digits only), best first. ``{side}`` is left or right,
``{s}`` l or r. In skeletons that have ``LeftArm``, ``LeftShoulder`` is the collar bone: hence its place at the end. In
those that have ``LeftAnkle``, ``LeftFoot`` is the ball of the foot; in the others it is the ankle."""

_PREFIX = re.compile(r"(?:mixamorig\d*|bip\d+|bip|skel|def|cc base|g|valvebiped)[ _.:-]+", re.IGNORECASE)
"""What programs write before every joint's name, in words of their own."""
_NEEDED = ("hip", "knee", "ankle")


@dataclass(slots=True)
class _Joint:
    """One node of the hierarchy while it is read. ``channels``: (is_rotation, axis) in file order."""

    name: str
    parent: int
    offset: FloatArray
    channels: tuple[tuple[bool, int], ...] = ()
    first_column: int = 0
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class _Pose:
    """Positions (T, 3) and rotations (T, 3, 3) of every node."""

    positions: list[FloatArray]
    rotations: list[FloatArray]


def read_bvh(path: Path, mapping: Mapping[str, tuple[str, ...]] | None = None) -> JointTrajectories:
    """Joint positions in metres, z up, of one BVH file. ``mapping``: our joint to the file's own.

    Raises ``lab-file-unreadable``, ``lab-file-broken``, ``lab-decimal-comma``, ``lab-unit-unknown``, ``lab-tilted``,
    ``lab-points-missing`` or ``pose-mapping-wrong``.
    """
    lines = read_lines(path, _FORMAT)
    begin = next((number for number, line in enumerate(lines) if line.strip()), 0)
    start = next((number for number, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if not lines or lines[begin].strip().upper() != "HIERARCHY":
        broken(path, _FORMAT, "it does not begin with HIERARCHY")
    if start is None:
        broken(path, _FORMAT, "it has no MOTION section")
    joints = _Hierarchy(path, lines[:start], begin + 1).read()
    if _people(joints) > 1:
        broken(path, _FORMAT, "it holds several skeletons (ROOT); export each person alone")
    frame_time, values = _read_motion(path, lines, start + 1, _columns(joints))
    return _trajectories(path, joints, frame_time, values, mapping or {})


class _Hierarchy:
    """Reads the joints, with a stack instead of recursion: a hostile file must not exhaust ours."""

    def __init__(self, path: Path, lines: list[str], first: int) -> None:
        self._path = path
        self._words: Iterator[tuple[int, str]] = (
            (number, word) for number, line in enumerate(lines[first:], start=first + 1) for word in _words(line)
        )
        self._line = first

    def read(self) -> list[_Joint]:
        joints: list[_Joint] = []
        open_joints: list[int] = []
        while (word := self._next(required=bool(open_joints) or not joints)) is not None:
            if word in ("ROOT", "JOINT", "End"):
                if (word == "ROOT") == bool(open_joints):
                    self._fail(f"{word} does not belong here")
                name = self._next()
                parent = open_joints[-1] if open_joints else -1
                joints.append(_Joint(str(name), parent, np.zeros(3), is_end=word == "End"))
                open_joints.append(len(joints) - 1)
                if self._next() != "{":
                    self._fail(f"a {{ is expected after {word} {name}")
                if len(joints) > _MOST_JOINTS:
                    self._fail(f"it has more than {_MOST_JOINTS} joints")
            elif word == "}" and open_joints:
                open_joints.pop()
            elif word == "OFFSET" and open_joints:
                joints[open_joints[-1]].offset = np.array([self._number() for _ in range(3)])
            elif word == "CHANNELS" and open_joints:
                joints[open_joints[-1]].channels = self._channels()
            else:
                self._fail(f"{word!r} is not expected here")
        column = 0
        for joint in joints:
            joint.first_column = column
            column += len(joint.channels)
        return joints

    def _channels(self) -> tuple[tuple[bool, int], ...]:
        count = self._number()
        if count not in (0, 1, 2, 3, 4, 5, 6):
            self._fail(f"a joint cannot have {count:g} channels")
        channels = []
        for _ in range(int(count)):
            word = self._next()
            if word in _POSITIONS:
                channels.append((False, _POSITIONS[word]))
            elif word in _ROTATIONS:
                channels.append((True, _ROTATIONS[word]))
            else:
                self._fail(f"there is no channel {word!r}")
        if len(set(channels)) != len(channels):
            self._fail("a joint has one channel twice")
        return tuple(channels)

    def _next(self, *, required: bool = True) -> str | None:
        number, word = next(self._words, (self._line, None))
        self._line = number
        if word is None and required:
            self._fail("the hierarchy ends too early")
        return word

    def _number(self) -> float:
        word = self._next()
        value = numbers([str(word)], self._path, _FORMAT, self._line)[0]
        if not math.isfinite(value):
            self._fail(f"{word!r} is not a number")
        return value

    def _fail(self, detail: str) -> NoReturn:
        broken(self._path, _FORMAT, f"line {self._line}: {detail}")


def _words(line: str) -> list[str]:
    """The words of a line, where a joint's name is one, of however many (``Bip01 L Thigh``)."""
    words: list[str] = []
    for word in line.split():
        if len(words) > 1 and words[-2] in ("ROOT", "JOINT") and word != "{":
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words


def _columns(joints: list[_Joint]) -> int:
    return sum(len(joint.channels) for joint in joints)


def _read_motion(path: Path, lines: list[str], start: int, columns: int) -> tuple[float, FloatArray]:
    """Frame time in seconds and (T, columns) channel values."""
    header = [line.split(":", 1) for line in lines[start : start + 2]]
    if [item[0].strip() for item in header] != ["Frames", "Frame Time"] or any(len(item) != 2 for item in header):
        broken(path, _FORMAT, "'Frames:' and 'Frame Time:' are expected after MOTION")
    try:
        frames = int(header[0][1])
    except ValueError:
        broken(path, _FORMAT, "'Frames:' is not followed by a number")
    frame_time = numbers([header[1][1]], path, _FORMAT, start + 2)[0]
    if frames < 2 or not 1e-4 <= frame_time <= 1.0:
        broken(path, _FORMAT, f"{frames} frames of {frame_time:g} s are not a recording")
    rows = [(number, line) for number, line in enumerate(lines[start + 2 :], start=start + 3) if line.strip()]
    if len(rows) != frames:
        broken(path, _FORMAT, f"it announces {frames} frames and holds {len(rows)}")
    values = np.empty((frames, columns))
    for row, (number, line) in enumerate(rows):
        words = line.split()
        if len(words) != columns:
            broken(path, _FORMAT, f"line {number}: {len(words)} values where the joints have {columns} channels")
        values[row] = numbers(words, path, _FORMAT, number)
    if not np.isfinite(values).all() or float(np.abs(values).max(initial=0.0)) > 1e6:
        row = int(np.flatnonzero(~(np.abs(values) <= 1e6).all(axis=1))[0])
        broken(path, _FORMAT, f"line {rows[row][0]}: a value is not finite, or beyond all measure")
    return frame_time, values


def _pose(joints: list[_Joint], values: FloatArray) -> _Pose:
    """Forward kinematics of all frames at once."""
    frames = values.shape[0]
    pose = _Pose([], [])
    for joint in joints:
        local = np.broadcast_to(np.eye(3), (frames, 3, 3))
        offset = np.tile(joint.offset, (frames, 1))
        for number, (is_rotation, axis) in enumerate(joint.channels):
            column = values[:, joint.first_column + number]
            if is_rotation:
                local = local @ _turn(axis, column)
            else:
                offset[:, axis] = column
        if joint.parent < 0:
            pose.positions.append(offset)
            pose.rotations.append(local)
        else:
            parent = pose.rotations[joint.parent]
            pose.positions.append(pose.positions[joint.parent] + np.einsum("tij,tj->ti", parent, offset))
            pose.rotations.append(parent @ local)
    return pose


def _turn(axis: int, degrees: FloatArray) -> FloatArray:
    """(T, 3, 3) rotations about one axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((degrees.shape[0], 3, 3))
    turn[:, axis, axis] = 1.0
    turn[:, first, first] = turn[:, second, second] = cos
    turn[:, first, second], turn[:, second, first] = -sin, sin
    return turn


def _find(path: Path, joints: list[_Joint], mapping: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Node of each of our joints, by name; ``toe`` is the tip of the foot where the file has one."""
    by_name: dict[str, int] = {}
    for number, joint in enumerate(joints):
        if not joint.is_end:
            by_name.setdefault(_plain(joint.name), number)
    found: dict[str, int] = {}
    for side in SIDES:
        for what, names in NAMES.items():
            candidates = (by_name.get(name.format(side=side, s=side[0])) for name in names)
            node = next((node for node in candidates if node is not None), None)
            if node is not None:
                found[f"{side}_{what}"] = node
        if found.get(f"{side}_toe") == found.get(f"{side}_ankle"):
            found.pop(f"{side}_toe", None)
        toe = found.get(f"{side}_toe", found.get(f"{side}_ankle"))
        tip = next((n for n, joint in enumerate(joints) if joint.is_end and joint.parent == toe), None)
        if tip is not None:
            found[f"{side}_toe"] = tip
    found |= _mapped(path, joints, mapping)
    missing = [f"{side} {what}" for side in SIDES for what in _NEEDED if f"{side}_{what}" not in found]
    if missing:
        raise GaitkeeperError("lab-points-missing", path=path, missing=", ".join(missing))
    return found


def _people(joints: list[_Joint]) -> int:
    """How many of the file's skeletons have a left knee; a thing that was carried along has none."""
    knees = {name.format(side="left", s="l") for name in NAMES["knee"]}
    roots: list[int] = []
    for number, joint in enumerate(joints):
        roots.append(number if joint.parent < 0 else roots[joint.parent])
    return len({root for root, joint in zip(roots, joints, strict=True) if _plain(joint.name) in knees})


def _plain(name: str) -> str:
    """A joint's name as :data:`NAMES` writes it. A digit at the end tells copies apart (LeftShoulder1, Toe0)."""
    own = _PREFIX.sub("", name.split(":")[-1], count=1)
    return "".join(letter for letter in own.lower() if letter.isalnum()).rstrip("0123456789")


def _mapped(path: Path, joints: list[_Joint], mapping: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Nodes that a mapping names, one for each joint."""
    node = {joint.name: number for number, joint in reversed(list(enumerate(joints))) if not joint.is_end}
    for name, own in mapping.items():
        if len(own) != 1 or own[0] not in node:
            raise GaitkeeperError(
                "pose-mapping-wrong", name=f"{name}={'+'.join(own)}", path=path, names=", ".join(node)
            )
    return {name: node[own[0]] for name, own in mapping.items()}


def _trajectories(
    path: Path, joints: list[_Joint], frame_time: float, values: FloatArray, mapping: Mapping[str, tuple[str, ...]]
) -> JointTrajectories:
    nodes = _find(path, joints, mapping)
    pose = _pose(joints, values)
    track = {name: pose.positions[node] for name, node in nodes.items()}
    legs = [
        np.linalg.norm(track[f"{side}_{a}"] - track[f"{side}_{b}"], axis=1)
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    scale = metres_per_unit(float(np.median(np.sum(legs, axis=0))) / 2.0, path)
    hips = track["left_hip"] + track["right_hip"]
    rise = hips - track["left_ankle"] - track["right_ankle"]
    check_upright(rise, path)
    vertical = vertical_axis(rise)
    track |= _heels(joints, nodes, pose, vertical)
    positions = np.full((values.shape[0], len(JOINTS), 3), np.nan)
    for name, points in track.items():
        positions[:, JOINT_INDEX[name]] = z_up(points, vertical) * scale
    confidence = np.isfinite(positions).all(axis=2).astype(np.float64)
    return JointTrajectories(np.arange(values.shape[0], dtype=np.float64) * frame_time, positions, "m", confidence)


def _heels(
    joints: list[_Joint], nodes: dict[str, int], pose: _Pose, vertical: tuple[int, int]
) -> dict[str, FloatArray]:
    """Heels, rigid in the foot; none for a side whose rest pose has no upright shank and forward foot."""
    axis, sign = vertical
    heels = {}
    for side in SIDES:
        knee, ankle, toe = (nodes.get(f"{side}_{what}") for what in ("knee", "ankle", "toe"))
        if knee is None or ankle is None or toe is None:
            continue
        shank = _rest_offset(joints, knee, ankle)
        foot = _rest_offset(joints, ankle, toe)
        flat = np.linalg.norm(np.delete(foot, axis))
        if -sign * shank[axis] < 0.9 * np.linalg.norm(shank) or flat < abs(foot[axis]):
            continue
        local = heel_in_foot_frame(foot, vertical)
        heels[f"{side}_heel"] = pose.positions[ankle] + pose.rotations[ankle] @ local
    return heels


def _rest_offset(joints: list[_Joint], start: int, end: int) -> FloatArray:
    """Vector from one node to another below it, when all angles are zero."""
    total, node = np.zeros(3), end
    while node not in (start, -1):
        total = total + joints[node].offset
        node = joints[node].parent
    return total
