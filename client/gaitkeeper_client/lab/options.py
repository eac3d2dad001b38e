"""What a recording's file may not say of itself, checked at the door."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import JOINTS

RATE_HZ = (1.0, 10_000.0)
SIZE_PX = (16, 100_000)
BELT_M_S = (0.05, 8.0)
"""From a treadmill that barely moves to one for sprinters."""
LONGEST_AID = 80
NO_AID = frozenset({"", "no", "none", "0"})
"""What people write who mean that there was none."""
_MOST_MAPPING_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a file may not say of itself; each is None or empty where nobody said it.

    ``rate_hz``: the camera's. ``size_px``: width, height of the picture. ``mapping``: our joint to the file's own names
    (their mean is taken). ``person``: which of several people, by the file's own name or by number from 1 in order of
    appearance. ``belt_m_s``: speed of the treadmill's belt. ``height_m``: the walker's. ``aid``: what they walked with
    (crutches, a walker, an orthosis), in the operator's words. These two are of use for every kind of source.
    ``static``: a trial in which the person stands, with markers that the walk lacks.
    """

    rate_hz: float | None = None
    mapping: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size_px: tuple[float, float] | None = None
    person: str | None = None
    belt_m_s: float | None = None
    height_m: float | None = None
    aid: str | None = None
    static: Path | None = None

    def given(self) -> frozenset[str]:
        """Names of the fields that say something."""
        return frozenset(item.name for item in fields(self) if getattr(self, item.name) not in (None, {}))


OPTION_NAMES: Mapping[str, str] = {
    "rate_hz": "--rate",
    "mapping": "--mapping",
    "size_px": "--size",
    "person": "--person",
    "belt_m_s": "--speed",
    "static": "--static",
}
"""What the command line calls the fields of :class:`ReadOptions`."""

NOTHING_SAID = ReadOptions()
TAKEN_BY_VIDEO = frozenset({"belt_m_s"})


def check_options(
    *,
    rate: float | None = None,
    size: str | None = None,
    mapping: Path | None = None,
    person: str | None = None,
    speed: float | None = None,
    aid: str | None = None,
    static: Path | None = None,
) -> ReadOptions:
    """Options as a person writes them. Raises ``option-unusable``, ``mapping-unreadable`` or ``mapping-wrong``.

    ``size``: ``1920x1080``. ``mapping``: a TOML file of lines ``left_hip = "L_hip_center"``; several names in a list
    stand for their mean.
    """
    if rate is not None:
        _within("--rate", rate, RATE_HZ, "samples a second", "--rate 30")
    if speed is not None:
        _within("--speed", speed, BELT_M_S, "metres a second", "--speed 1.2")
    if person is not None and not person.strip():
        raise GaitkeeperError("option-unusable", option="--person", detail="it is empty", example="--person 1")
    joints = {} if mapping is None else read_mapping(mapping)
    pixels = None if size is None else parse_size(size)
    return ReadOptions(rate, joints, pixels, person and person.strip(), speed, aid=check_aid(aid), static=static)


def check_aid(aid: str | None) -> str | None:
    """A walking aid in a few words; None for none. Raises ``option-unusable``."""
    words = " ".join((aid or "").split())
    if aid is not None and not (0 < len(words) <= LONGEST_AID and words.isprintable()):
        detail = f"it is empty, or longer than {LONGEST_AID} characters"
        raise GaitkeeperError("option-unusable", option="--aid", detail=detail, example="--aid 'two crutches'")
    return None if words.lower() in NO_AID else words


def parse_size(text: str) -> tuple[float, float]:
    """Width and height in pixels from ``1920x1080``. Raises ``option-unusable``."""
    parts = text.lower().replace("×", "x").split("x")
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    if len(parts) != 2 or len(numbers) != 2 or not all(SIZE_PX[0] <= number <= SIZE_PX[1] for number in numbers):
        detail = f"{text!r} is not a width and a height in pixels"
        raise GaitkeeperError("option-unusable", option="--size", detail=detail, example="--size 1920x1080")
    return float(numbers[0]), float(numbers[1])


def read_mapping(path: Path) -> dict[str, tuple[str, ...]]:
    """A mapping file: our joint to the file's own names. Raises ``mapping-unreadable`` or ``mapping-wrong``."""
    try:
        if path.stat().st_size > _MOST_MAPPING_BYTES:
            raise GaitkeeperError("mapping-unreadable", path=path, detail="it is far too large")
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GaitkeeperError("mapping-unreadable", path=path, detail=error.strerror or error) from error
    except ValueError as error:
        raise GaitkeeperError("mapping-unreadable", path=path, detail=f"it is not TOML: {error}") from error
    found: dict[str, tuple[str, ...]] = {}
    for joint, value in table.items():
        names = [value] if isinstance(value, str) else value
        if joint not in JOINTS:
            raise GaitkeeperError("mapping-wrong", path=path, detail=f"{joint!r} is none of our joints", **_ours())
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            detail = f"{joint} is neither a name nor a list of names"
            raise GaitkeeperError("mapping-wrong", path=path, detail=detail, **_ours())
        found[joint] = tuple(names)
    if not found:
        raise GaitkeeperError("mapping-wrong", path=path, detail="it is empty", **_ours())
    return found


def check_apply(path: Path, kind: str, options: ReadOptions, applicable: frozenset[str]) -> None:
    """Raise ``option-does-not-apply`` for an option that this kind of source cannot use: it would change nothing."""
    for name in sorted(options.given() - applicable - {"height_m", "aid"}):
        raise GaitkeeperError("option-does-not-apply", option=OPTION_NAMES[name], path=path, kind=kind)


def _within(option: str, value: float, limits: tuple[float, float], unit: str, example: str) -> None:
    low, high = limits
    if not (math.isfinite(value) and low <= value <= high):
        detail = f"{value:g} is not between {low:g} and {high:g} {unit}"
        raise GaitkeeperError("option-unusable", option=option, detail=detail, example=example)


def _ours() -> dict[str, str]:
    return {"joints": ", ".join(JOINTS)}
