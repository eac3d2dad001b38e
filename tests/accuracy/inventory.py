"""What each file of the development data is: a recording, a reference of one, or neither. None is left out unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["walk", "standing", "bvh", "gaitndd", "gaitpdb", "video"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Files that are recordings of one kind. ``beside``: their references, ``{stem}`` being the recording's name."""

    kind: Kind
    pattern: str
    beside: tuple[str, ...] = ()


RULES = (
    Rule("walk", "c3d/biomechzoo-children/*/Straight/*.c3d"),
    Rule("walk", "c3d/gaitkit/*.c3d"),
    Rule("walk", "c3d/gaitkit/*.json"),
    Rule("walk", "bmclab/Gait.c3d"),
    Rule("walk", "bmclab/walk*.trc", ("bmclab/{stem}.forces",)),
    Rule("walk", "bmclab/BiomecII2018_gait_?.txt"),
    Rule("walk", "opencap-subject4/MarkerData/walking*.trc", ("opencap-subject4/ID/{stem}_grf.mot",
                                                             "opencap-subject4/IK/{stem}_ik.mot")),
    Rule("walk", "opensim/*.c3d"),
    Rule("walk", "opensim/test_walking.trc", ("opensim/test_walking.c3d",)),
    Rule("walk", "opensim/std_walking2_markers.trc", ("opensim/std_walking2_grfs.sto", "opensim/walking2.c3d")),
    Rule("walk", "opensim/markers_walk.trc", ("opensim/grf_walk.mot", "opensim/coordinates.sto")),
    Rule("walk", "opensim/*_gait.mot"),
    Rule("standing", "c3d/biomechzoo-children/*/Static/*.c3d"),
    Rule("standing", "opencap-subject4/MarkerData/static1.trc", ("opencap-subject4/ID/{stem}_grf.mot",
                                                                "opencap-subject4/IK/{stem}_ik.mot")),
    Rule("bvh", "clinic-bvh/*.bvh"),
    Rule("gaitndd", "gaitndd/*.mat"),
    Rule("gaitpdb", "gaitpdb/??[CP]*_??.txt"),
    Rule("video", "video/*/*.mp4"),
)  # fmt: skip
NO_RECORDINGS = (
    "README.md",
    "**/LICENSE*",
    "**/NOTICE",
    "**/CITATION.cff",
    "**/*SOURCE_COMMIT.txt",
    "**/*LICENCE_NOTE.txt",
    "clinic-bvh/Annotations.xlsx",
    "gaitpdb/demographics.*",
    "video/sports2d/Calib_demo.toml",
)
"""Licences, where things came from, and tables about people and cameras."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file that somebody recorded, and the files that say what was right."""

    kind: Kind
    path: Path
    references: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every file of a folder, each in one place; a reference that is a recording itself is among these."""

    recordings: tuple[Recording, ...]
    references: tuple[Path, ...]
    others: tuple[Path, ...]
    by_kind: Mapping[Kind, tuple[Recording, ...]] = field(default_factory=dict)


def inventory(data: Path, rules: Sequence[Rule] = RULES, others: Sequence[str] = NO_RECORDINGS) -> Inventory:
    """Sort out all files below ``data``. Raises ``ValueError`` for a file that no rule names, or more than one."""
    recordings = [found for rule in rules for found in _found(data, rule)]
    own = {one.path for one in recordings}
    references = {path for one in recordings for path in one.references} - own
    rest = {path for pattern in others for path in data.glob(pattern) if path.is_file()}
    named = [*(one.path for one in recordings), *references, *rest]
    every = {path for path in data.rglob("*") if path.is_file()}
    wrong = sorted({path for path in named if named.count(path) > 1} | every.symmetric_difference(named))
    if wrong:
        raise ValueError("named by no rule, or by two: " + ", ".join(str(path.relative_to(data)) for path in wrong))
    recordings.sort(key=lambda one: str(one.path.relative_to(data)))
    kinds = dict.fromkeys(rule.kind for rule in rules)
    by_kind = {kind: tuple(one for one in recordings if one.kind == kind) for kind in kinds}
    return Inventory(tuple(recordings), tuple(sorted(references)), tuple(sorted(rest)), by_kind)


def _found(data: Path, rule: Rule) -> list[Recording]:
    """A reference that is not there is none: not each of several recordings has all of them."""
    return [
        Recording(rule.kind, path, tuple(one for name in rule.beside if (one := data / _of(name, path)).is_file()))
        for path in sorted(data.glob(rule.pattern))
        if path.is_file()
    ]


def _of(name: str, recording: Path) -> str:
    return name.format(stem=recording.stem)
