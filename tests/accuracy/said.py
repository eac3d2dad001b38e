"""What the analysis says of a file in a few words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.errors import GaitkeeperError


@dataclass(frozen=True, slots=True)
class Said:
    """``codes``: why it was refused. ``error``: the code of a file that could not be read. Cadence and speed: None
    where they are withheld."""

    codes: tuple[str, ...] = ()
    error: str = ""
    cadence: float | None = None
    speed: float | None = None
    events: int = 0
    seconds: float | None = None

    @property
    def outcome(self) -> str:
        """For a table."""
        if self.error:
            return f"not read: {self.error}"
        return f"refused: {', '.join(self.codes)}" if self.codes else "analysed"


@cache
def said_of(path: Path) -> Said:
    """Analyse one file, as ``gaitkeeper analyze`` would."""
    try:
        analysis = analyse_file(path)
    except GaitkeeperError as error:
        return Said(error=error.code)
    cadence, speed = (
        None if value is None else round(value, 2)
        for value in (analysis.parameters[name].value for name in ("cadence", "walking_speed"))
    )
    codes = tuple(reason.code for reason in analysis.reasons)
    seconds = analysis.quality.get("duration_s")
    return Said(codes, "", cadence, speed, len(analysis.events), None if seconds is None else round(float(seconds), 1))
