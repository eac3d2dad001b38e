"""The C3D container: header, parameters, points and analog samples, as they stand in the file.

The layout is that of the C3D user guide (https://www.c3d.org): blocks of 512 bytes; a header; parameter records, each
with the offset to the next; then the frames. Numbers come in the order of Intel, DEC or SGI machines. Everything is
checked before it is believed: files come from outside, and a byte that was changed must cost an error, not the process.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

BLOCK = 512
MOST_BYTES = 2 * 2**30
"""Ten minutes of 64 analog channels at 2 kHz take 0.3 GiB."""
_ORDERS = {84: "<", 85: "<", 86: ">"}
"""Intel, DEC and SGI; DEC has floating-point numbers of its own."""
_DEC = 85
_COUNTER = 65_536
_SIZES = {-1: 1, 1: 1, 2: 2, 4: 4}


@dataclass(frozen=True, slots=True)
class _Record:
    """One parameter: ``kind`` (-1 text, 1 byte, 2 whole number, 4 floating point), ``shape``, and its bytes."""

    kind: int
    shape: tuple[int, ...]
    data: bytes


@dataclass(slots=True)
class Parameters:
    """The parameters of a file, by group and name, in capitals."""

    order: str
    dec: bool
    groups: dict[int, str] = field(default_factory=dict)
    records: dict[tuple[int, str], _Record] = field(default_factory=dict)

    def numbers(self, group: str, name: str, *, signed: bool = False) -> FloatArray:
        """A parameter's numbers in the file's own shape (first index fastest); empty where it has none."""
        record = self._find(group, name)
        if record is None or record.kind not in (1, 2, 4):
            return np.empty(0)
        if record.kind == 4:
            values = self.reals(record.data)
        else:
            kind = f"{self.order}{'i' if signed else 'u'}{record.kind}"
            values = np.frombuffer(record.data, dtype=kind).astype(np.float64)
        return values.reshape(record.shape, order="F") if record.shape else values

    def number(self, group: str, name: str) -> float | None:
        """A parameter's first number; None where it has none."""
        values = self.numbers(group, name).ravel(order="F")
        return float(values[0]) if values.size else None

    def texts(self, group: str, name: str) -> tuple[str, ...]:
        """A parameter's texts without trailing blanks; ``LABELS2``, ``LABELS3``... go on where ``LABELS`` is full."""
        found: list[str] = []
        for number in range(1, 256):
            record = self._find(group, name if number == 1 else f"{name}{number}")
            if record is None or record.kind != -1 or not record.shape:
                break
            width = record.shape[0]
            text = record.data.decode("utf-8", errors="replace") if len(record.shape) == 1 else ""
            pieces = [record.data[at : at + width] for at in range(0, len(record.data), max(1, width))]
            found += [text] if text else [piece.decode("utf-8", errors="replace") for piece in pieces]
        return tuple(text.strip(" \0") for text in found)

    def reals(self, data: bytes) -> FloatArray:
        """Floating-point numbers of four bytes each."""
        if not self.dec:
            return np.frombuffer(data, dtype=f"{self.order}f4").astype(np.float64)
        # A DEC number is an IEEE one with its halves exchanged, and four times as large.
        halves = np.frombuffer(data, dtype="<u2").reshape(-1, 2)[:, ::-1]
        values = np.frombuffer(np.ascontiguousarray(halves).tobytes(), dtype="<f4").astype(np.float64)
        return values / 4.0

    def _find(self, group: str, name: str) -> _Record | None:
        for number, label in self.groups.items():
            if label == group and (record := self.records.get((number, name))) is not None:
                return record
        return None


@dataclass(frozen=True, slots=True)
class C3dFile:
    """``points``: (T, P, 3) in the file's axes and unit, NaN where not seen. ``analog``: (T * per frame, C), scaled.

    ``rate_hz``: of the points. ``first_frame``: number of the first frame that was kept, from 0.
    """

    parameters: Parameters
    points: FloatArray
    analog: FloatArray
    rate_hz: float
    first_frame: int

    @property
    def analog_rate_hz(self) -> float:
        """Samples of an analog channel per second."""
        return self.rate_hz * float(self.analog.shape[0] // max(1, self.points.shape[0]))


@dataclass(frozen=True, slots=True)
class _Header:
    points: int
    analogs: int
    per_frame: int
    frames: int
    first_frame: int
    scale: float
    rate_hz: float
    data_start: int


def read_c3d_file(path: Path) -> C3dFile:
    """One C3D file.

    Raises ``lab-file-unreadable``, ``lab-no-markers``, or ``lab-file-broken`` where its parts do not fit each other.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            broken_c3d(path, f"it is larger than {MOST_BYTES // 2**20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
    if len(content) < 2 or content[1] != 0x50 or content[0] < 2:
        broken_c3d(path, "it does not begin with a C3D header")
    if len(content) < 2 * BLOCK:
        broken_c3d(path, f"it ends after {len(content)} bytes, within its header")
    block = (content[0] - 1) * BLOCK
    processor = content[block + 3] if block + 4 <= len(content) else 0
    if processor not in _ORDERS:
        broken_c3d(path, "its parameters are missing, or of an unknown kind of computer")
    parameters = Parameters(_ORDERS[processor], processor == _DEC)
    (data_block,) = struct.unpack_from(f"{parameters.order}H", content, 16)
    # A block of more than 255 blocks cannot say its length; it ends where the frames begin.
    length = max(1, content[block + 2], data_block - content[0]) * BLOCK
    _read_records(path, parameters, content[block : block + length])
    header = _header(path, content, parameters)
    points, analog = _frames(content, header, parameters)
    return C3dFile(parameters, points, analog, header.rate_hz, header.first_frame)


def _read_records(path: Path, parameters: Parameters, block: bytes) -> None:
    """Fill in groups and parameters, record by record."""
    place = 4
    while place + 2 <= len(block):  # each record moves on by at least two bytes
        length, number = abs(struct.unpack_from("b", block, place)[0]), struct.unpack_from("b", block, place + 1)[0]
        if length == 0 or number == 0:
            return
        after_name = place + 2 + length
        if after_name + 2 > len(block):
            break
        name = block[place + 2 : after_name].decode("latin-1").strip().upper()
        (offset,) = struct.unpack_from(f"{parameters.order}H", block, after_name)
        following = after_name + offset if offset else len(block)
        if following > len(block):
            broken_c3d(path, f"its parameter {name[:20]!r} points beyond the block of parameters")
        if number < 0:
            parameters.groups[-number] = name
        else:
            parameters.records[(number, name)] = _record(path, name, block[after_name + 2 : following])
        if offset == 0:
            return
        place = following
    broken_c3d(path, "its parameters run beyond their block")


def _record(path: Path, name: str, data: bytes) -> _Record:
    kind = struct.unpack_from("b", data)[0] if data else 0
    dimensions = data[1] if len(data) > 1 else 0
    shape = tuple(data[2 : 2 + dimensions])
    if kind not in _SIZES or dimensions > 7 or len(shape) != dimensions:
        broken_c3d(path, f"its parameter {name[:20]!r} is of no known type")
    needed = math.prod(shape) * _SIZES[kind]
    body = data[2 + dimensions :]
    if len(body) < needed:
        broken_c3d(path, f"its parameter {name[:20]!r} is cut off")
    return _Record(kind, shape, body[:needed])


def _header(path: Path, content: bytes, parameters: Parameters) -> _Header:
    points, analogs, first, last = struct.unpack_from(f"{parameters.order}HHHH", content, 2)
    start, per_frame = struct.unpack_from(f"{parameters.order}HH", content, 16)
    scale, rate = (float(parameters.reals(content[at : at + 4])[0]) for at in (12, 20))
    begin, frames = _frame_range(parameters, first, last)
    if points == 0:
        raise GaitkeeperError("lab-no-markers", path=path, channels=analogs // max(1, per_frame))
    if frames < 2:
        broken_c3d(path, f"it holds {points} points in {max(frames, 0)} frames")
    told = parameters.number("POINT", "RATE")
    rate = told if rate == 0.0 and told is not None else rate  # one of the two may have been left empty
    if not (math.isfinite(scale) and scale != 0.0 and math.isfinite(rate) and 1.0 <= rate <= 10_000.0):
        broken_c3d(path, f"its frame rate is {rate:g} Hz and its scale {scale:g}")
    for name, value in (("USED", float(points)), ("RATE", rate)):
        found = parameters.number("POINT", name)
        if (
            found is not None
            and not (name == "RATE" and found == 0.0)
            and not abs(found - value) <= 1e-3 * max(1.0, abs(value))
        ):
            broken_c3d(path, f"its header says {value:g} where POINT:{name} says {found:g}")
    if analogs and (per_frame == 0 or analogs % per_frame):
        broken_c3d(path, f"it announces {analogs} analog values a frame in {per_frame} samples")
    size = (4 * points + analogs) * (4 if scale < 0 else 2)
    frames = _all_frames(frames, last, (len(content) - (start - 1) * BLOCK) // size)
    needed = (start - 1) * BLOCK + frames * size
    if start < 2 or len(content) < needed:
        broken_c3d(path, f"its last {max(0, needed - len(content))} bytes are missing")
    return _Header(points, analogs, per_frame, frames, max(0, begin - 1), scale, rate, (start - 1) * BLOCK)


def _frame_range(parameters: Parameters, first: int, last: int) -> tuple[int, int]:
    """Number of the first frame that was kept, from 1, and how many there are.

    The header counts to 65535 only, and what is beyond stands there cut off; the parameters of the trial go further.
    """
    begin, end = (parameters.numbers("TRIAL", f"ACTUAL_{name}_FIELD").ravel() for name in ("START", "END"))
    if begin.size == 2 and end.size == 2:
        start, stop = (int(field[0] + _COUNTER * field[1]) for field in (begin, end))
        in_header = (stop - last) % _COUNTER == (start - first) % _COUNTER == 0
        if start >= 1 and (in_header or last == _COUNTER - 1):
            return start, stop - start + 1
    if last == _COUNTER - 1:
        for name in ("LONG_FRAMES", "FRAMES"):
            announced = parameters.number("POINT", name)
            if announced is not None and math.isfinite(announced) and announced >= 1:
                return int(first), int(announced)
    return int(first), int(last - first + 1)


def _all_frames(announced: int, last: int, there: int) -> int:
    """How many of the frames in the file are meant: more than it can count, where its counters ran out or over."""
    if announced == _COUNTER - 1 == last:
        return max(announced, there)
    return announced + max(0, there - announced) // _COUNTER * _COUNTER


def _frames(content: bytes, header: _Header, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Points, NaN where not seen, and analog samples in their units."""
    width = 4 * header.points + header.analogs
    size = 4 if header.scale < 0 else 2
    data = content[header.data_start : header.data_start + header.frames * width * size]
    if header.scale < 0:
        table = parameters.reals(data).reshape(header.frames, width)
    else:
        signed = parameters.texts("ANALOG", "FORMAT")[:1] != ("UNSIGNED",)
        table = np.frombuffer(data, dtype=f"{parameters.order}i2").reshape(header.frames, width).astype(np.float64)
        if not signed:
            table[:, 4 * header.points :] %= 65536.0
    points = table[:, : 4 * header.points].reshape(header.frames, header.points, 4)
    seen = (points[..., 3] >= 0.0) & np.isfinite(points).all(axis=2)
    positions = points[..., :3] * (1.0 if header.scale < 0 else header.scale)
    positions[~seen] = np.nan
    channels = header.analogs // max(1, header.per_frame)
    analog = table[:, 4 * header.points :].reshape(header.frames * header.per_frame if channels else 0, channels)
    return positions, _scaled(analog, parameters)


def _scaled(analog: FloatArray, parameters: Parameters) -> FloatArray:
    channels = analog.shape[1]
    unsigned = parameters.texts("ANALOG", "FORMAT")[:1] == ("UNSIGNED",)
    offset = parameters.numbers("ANALOG", "OFFSET", signed=not unsigned).ravel(order="F")
    scale = parameters.numbers("ANALOG", "SCALE").ravel(order="F")
    general = parameters.number("ANALOG", "GEN_SCALE")
    offset = np.concatenate([offset, np.zeros(channels)])[:channels]
    scale = np.concatenate([scale, np.ones(channels)])[:channels]
    values: FloatArray = (analog - offset) * scale * (1.0 if general is None else general)
    return values


def broken_c3d(path: Path, detail: str) -> NoReturn:
    """Raise ``lab-file-broken``."""
    raise GaitkeeperError("lab-file-broken", path=path, format="C3D", detail=detail)
