"""Text files from outside, as lines; and numbers, or the line that holds none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

MOST_BYTES = 1024 * 2**20


def read_lines(path: Path, format_name: str) -> list[str]:
    """The lines of a text file. Raises ``lab-file-unreadable`` or ``lab-file-broken``."""
    try:
        if path.stat().st_size > MOST_BYTES:
            broken(path, format_name, f"it is larger than {MOST_BYTES // 2**20} MiB")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GaitkeeperError("lab-file-broken", path=path, format=format_name, detail="it is not text") from error
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    if "\0" in text:
        broken(path, format_name, "it is not text")
    return text.splitlines()


def broken(path: Path, format_name: str, detail: str) -> NoReturn:
    """Raise ``lab-file-broken``."""
    raise GaitkeeperError("lab-file-broken", path=path, format=format_name, detail=detail)


def numbers(cells: Sequence[str], path: Path, format_name: str, line: int) -> list[float]:
    """One number per cell, NaN for an empty one or one that says so; else ``lab-file-broken`` with the line."""
    values = []
    for cell in cells:
        word = cell.strip()
        try:
            value = float(word) if word else math.nan
        except ValueError:
            broken(path, format_name, f"line {line}: {word[:40]!r} is not a number")
        values.append(math.nan if math.isinf(value) else value)
    return values


def check_times(time_s: FloatArray, path: Path, format_name: str) -> None:
    """At least two samples, each later than the one before; else ``lab-file-broken``."""
    if time_s.size < 2:
        broken(path, format_name, f"it holds {time_s.size} samples")
    if not np.isfinite(time_s).all() or not (np.diff(time_s) > 0).all():
        row = int(np.flatnonzero(~(np.diff(time_s) > 0))[0]) + 2
        broken(path, format_name, f"time does not go on at sample {row}")
