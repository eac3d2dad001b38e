"""What each gait parameter is, read from ``definitions.toml``: unit, source, views, values needed.

What it is called, and its definition as a sentence, are the catalogue's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from gaitkeeper_client.language.texts import say

Needs = Literal["times", "side", "space"]

VIEWS: Mapping[Needs, str] = {
    "times": "side or oblique view, laboratory points, foot forces",
    "side": "side view (oblique to 40 degrees where the picture's size is known), laboratory points",
    "space": "laboratory points",
}
"""From where a parameter can be measured, in words."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One row of the table.

    ``needs``: ``times`` of events alone, positions in the plane of progression (``side``), or in ``space``. ``length``:
    needs a scale. ``fewest``: values needed. ``wide``: an interval that reaches farther from the value than this, in
    the parameter's unit, is marked as wide. ``limb``: of one leg or arm, or a comparison of both.
    ``foot``: of the foot of one side itself, which ankles do not tell. ``signed``: may be negative.
    """

    name: str
    unit: str
    source: str
    needs: Needs = "times"
    length: bool = False
    fewest: int = 2
    wide: float = float("inf")
    limb: bool = False
    foot: bool = False
    signed: bool = False

    @property
    def sagittal(self) -> bool:
        """Whether it needs a side view (or laboratory points)."""
        return self.needs != "times"

    @property
    def of_steps(self) -> bool:
        """Whether it is a length of steps, or a ratio of such."""
        return self.name.startswith("step_length")

    @property
    def title(self) -> str:
        """What it is called, on pages and in messages."""
        return say(f"parameters.{self.name}")

    @property
    def definition(self) -> str:
        """What is measured, as a sentence."""
        return say(f"definition.{self.name}")


def _table() -> dict[str, Definition]:
    text = (resources.files("gaitkeeper_client.gait") / "definitions.toml").read_text("utf-8")
    document: dict[str, Any] = tomllib.loads(text)
    sources = document["sources"]
    rows = (Definition(**{**row, "source": sources[row["source"]]}) for row in document["parameter"])
    return {row.name: row for row in rows}


DEFINITIONS: dict[str, Definition] = _table()
