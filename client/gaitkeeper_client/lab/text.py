"""Text files from outside, as lines; and numbers, or the line that holds none."""

from __future__ import annotations

import codecs
import csv
import math
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

MOST_BYTES = 1024 * 2**20
_OLD = "cp1252"
"""What Windows programs write of names such as Müller, where they do not write UTF-8."""
_NOT_A_NUMBER = re.compile(r"[+-]?1\.#(?:QNAN|SNAN|IND|INF)0*", re.IGNORECASE)
"""What older C libraries on Windows print for NaN and infinity."""
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
_SEPARATORS = (",", ";", "\t")
_MOST_TOO_MANY = 1.25
"""Times the columns: a row with more cells is not merely one with something behind. Not every number has decimals."""


def read_lines(path: Path, format_name: str) -> list[str]:
    """The lines of a text file. Raises ``lab-file-unreadable`` or ``lab-file-broken``."""
    try:
        if path.stat().st_size > MOST_BYTES:
            broken(path, format_name, f"it is larger than {MOST_BYTES // 2**20} MiB")
        text = _decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        raise GaitkeeperError("lab-file-broken", path=path, format=format_name, detail="it is not text") from error
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    if any(control in text for control in "\0\1\2\3\4\5\6\7"):
        broken(path, format_name, "it is not text")
    return text.splitlines()


def _decoded(content: bytes) -> str:
    """UTF-8; UTF-16 where the file begins with its mark; else what Windows wrote before UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode(_OLD)


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a regular file; nothing of a folder, of a pipe (which never ends) or of what is not there."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def first_line_of(head: bytes) -> str:
    """The first line with anything in it of a file's first bytes, whatever ends its lines."""
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return next((line for line in text.splitlines() if line.strip()), "")


def separator_of(first_line: str) -> str:
    """What separates the cells of a table, by its first line: comma, semicolon or tab."""
    return max(_SEPARATORS, key=first_line.count)


def cells_of(first_line: str) -> list[str]:
    """The cells of a table's first line, without the quotation marks that R and others put around them."""
    return next(csv.reader([first_line], delimiter=separator_of(first_line)), [])


def read_table(path: Path, format_name: str) -> list[list[str]]:
    """The cells of a comma-separated file, or of one that semicolons or tabs separate, which may have decimal commas.

    Raises ``lab-file-unreadable`` or ``lab-file-broken``.
    """
    lines = read_lines(path, format_name)
    if lines and not lines[0].strip():
        broken(path, format_name, "its first line is empty")
    separator = separator_of(lines[0]) if lines else ","
    try:
        rows = list(csv.reader(lines, strict=True, delimiter=separator))
    except csv.Error as error:
        broken(path, format_name, f"its quotation marks do not open and close as they should ({error})")
    if separator == ",":
        return rows
    return [[cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in rows]


def broken(path: Path, format_name: str, detail: str) -> NoReturn:
    """Raise ``lab-file-broken``."""
    raise GaitkeeperError("lab-file-broken", path=path, format=format_name, detail=detail)


def numbers(cells: Sequence[str], path: Path, format_name: str, line: int) -> list[float]:
    """One number per cell, NaN for an empty one or one that says so.

    Else ``lab-decimal-comma`` or ``lab-file-broken``, with the line.
    """
    values = []
    for cell in cells:
        word = cell.strip()
        try:
            value = float(word) if word else math.nan
        except ValueError:
            if _DECIMAL_COMMA.fullmatch(word):
                _decimal_commas(path, format_name, line, word)
            if not _NOT_A_NUMBER.fullmatch(word):
                broken(path, format_name, f"line {line}: {word[:40]!r} is not a number")
            value = math.nan
        values.append(math.nan if math.isinf(value) else value)
    return values


def check_whole(cells: Sequence[str], columns: int, path: Path, format_name: str, line: int) -> None:
    """Raise ``lab-decimal-comma`` for a row of :func:`read_table` whose numbers their own commas cut in two.

    Such a row has far more cells than there are columns, and no decimal point in any.
    """
    if len(cells) > _MOST_TOO_MANY * columns and not any("." in cell for cell in cells):
        _decimal_commas(path, format_name, line, ",".join(cells))


def _decimal_commas(path: Path, format_name: str, line: int, text: str) -> NoReturn:
    raise GaitkeeperError("lab-decimal-comma", path=path, format=format_name, line=line, text=text[:40])


def check_times(time_s: FloatArray, path: Path, format_name: str) -> None:
    """At least two samples, each later than the one before; else ``lab-file-broken``."""
    if time_s.size < 2:
        broken(path, format_name, f"it holds {time_s.size} samples")
    if not np.isfinite(time_s).all() or not (np.diff(time_s) > 0).all():
        row = int(np.flatnonzero(~(np.diff(time_s) > 0))[0]) + 2
        broken(path, format_name, f"time does not go on at sample {row}")
