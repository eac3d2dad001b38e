"""How a pose network wants its picture: what the network's file does not say, from a small file beside it.

``rtmpose-m.onnx`` may have a ``rtmpose-m.toml``; without one, what most published networks share is assumed.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from gaitkeeper_client.pose.heads import HeatmapGrid
from gaitkeeper_shared.errors import GaitkeeperError


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """``mean``, ``std``: of the three channels, subtracted from and divided into pixels of 0..255.

    ``input_size``: width and height, needed only where the network takes any. ``padding``: how much larger the crop is
    than the person. ``skeleton``: a name of :data:`~gaitkeeper_client.pose.skeletons.OF_NETWORKS`.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    colour: Literal["rgb", "bgr"] = "rgb"
    heatmap: HeatmapGrid = "plain"
    input_size: tuple[int, int] = (192, 256)
    padding: float = 1.25
    skeleton: str | None = None


def card_of(network: Path) -> NetworkCard:
    """The card beside a network, or the usual one. Raises ``pose-network-card``."""
    path = network.with_suffix(".toml")
    if not path.is_file():
        return NetworkCard()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GaitkeeperError("pose-network-card", path=path, detail=f"it is no TOML ({error})") from error
    known = {field.name for field in fields(NetworkCard)}
    if unknown := sorted(set(table) - known):
        detail = f"it has no use for {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        raise GaitkeeperError("pose-network-card", path=path, detail=detail)
    values = {name: _checked(path, name, value) for name, value in table.items()}
    return NetworkCard(**values)


def _checked(path: Path, name: str, value: Any) -> Any:
    rules: dict[str, tuple[bool, str]] = {
        "mean": (_numbers(value, 3), "three numbers"),
        "std": (_numbers(value, 3) and all(v > 0 for v in value), "three numbers above zero"),
        "colour": (value in ("rgb", "bgr"), '"rgb" or "bgr"'),
        "heatmap": (value in ("plain", "udp"), '"plain" or "udp"'),
        "input_size": (
            _numbers(value, 2) and all(isinstance(v, int) and 16 <= v <= 4096 for v in value),
            "width and height, whole numbers from 16 to 4096",
        ),
        "padding": (_numbers([value], 1) and 1.0 <= value <= 3.0, "a number from 1 to 3"),
        "skeleton": (isinstance(value, str), "a name"),
    }
    fits, wanted = rules[name]
    if not fits:
        raise GaitkeeperError("pose-network-card", path=path, detail=f"{name} has to be {wanted}")
    return tuple(value) if isinstance(value, list) else value


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value)
    )
