"""C3D in every dialect: numbers of three kinds of computer, whole and floating; broken in every part."""

from __future__ import annotations

import os
import struct
from functools import cache
from pathlib import Path

import ezc3d
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab_fixtures import PLUG_IN_GAIT, markers_of, walk, write_c3d

from gaitkeeper_client.lab.c3d import read_c3d
from gaitkeeper_client.lab.c3d_file import read_c3d_file
from gaitkeeper_client.lab.c3d_plates import read_plates
from gaitkeeper_client.lab.joints import LabFrame
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data"))
C3D = sorted(DATA.rglob("*.c3d"))
FORCES = np.array([3.0, -2.0, -700.0, 40_000.0, 90_000.0, 10.0])
"""One foot on one plate: newtons and newton millimetres."""


class Writer:
    """Writes C3D byte by byte. ``processor``: 84 Intel, 85 DEC, 86 SGI."""

    def __init__(self, processor: int) -> None:
        self.processor, self.order = processor, ">" if processor == 86 else "<"
        self.records = b""
        self.groups: list[str] = []

    def real(self, value: float) -> bytes:
        if self.processor != 85:
            return struct.pack(f"{self.order}f", value)
        data = struct.pack("<f", value * 4.0)
        return data[2:] + data[:2]

    def put(self, group: str, name: str, kind: int, shape: tuple[int, ...], data: bytes) -> None:
        if group not in self.groups:
            self.groups.append(group)
            self._record(group, -len(self.groups), b"\0")
        body = struct.pack("bB", kind, len(shape)) + bytes(shape) + data + b"\0"
        self._record(name, self.groups.index(group) + 1, body)

    def _record(self, name: str, number: int, body: bytes) -> None:
        offset = struct.pack(f"{self.order}H", len(body) + 2)
        self.records += struct.pack("bb", len(name), number) + name.encode() + offset + body

    def words(self, group: str, name: str, values: list[int], shape: tuple[int, ...] | None = None) -> None:
        data = struct.pack(f"{self.order}{len(values)}h", *values)
        self.put(group, name, 2, (len(values),) if shape is None else shape, data)

    def reals(self, group: str, name: str, values: FloatArray) -> None:
        data = b"".join(self.real(float(value)) for value in values.ravel(order="F"))
        self.put(group, name, 4, values.shape, data)

    def texts(self, group: str, name: str, values: list[str]) -> None:
        width = max(map(len, values))
        self.put(group, name, -1, (width, len(values)), "".join(value.ljust(width) for value in values).encode())

    def file(self, table: FloatArray, points: int, per_frame: int, first: int, scale: float) -> bytes:
        """``table``: (T, 4 * points + analog values) as they stand in the file."""
        frames, analogs = table.shape[0], table.shape[1] - 4 * points
        blocks = -(-(4 + len(self.records) + 2) // 512)
        section = (bytes([1, 0x50, blocks, self.processor]) + self.records).ljust(512 * blocks, b"\0")
        head = bytes([2, 0x50]) + struct.pack(f"{self.order}HHHHH", points, analogs, first, first + frames - 1, 0)
        head += self.real(scale) + struct.pack(f"{self.order}HH", 2 + blocks, per_frame) + self.real(100.0)
        if scale < 0:
            data = b"".join(self.real(float(value)) for value in table.ravel())
        else:
            data = table.astype(f"{self.order}i2").tobytes()
        return head.ljust(512, b"\0") + section + data


@cache
def whole_file(processor: int, *, floating: bool, kind: int = 2, first: int = 31) -> tuple[bytes, FloatArray]:
    """A walk with events and one force plate; gives the file and the markers in millimetres."""
    tracks = markers_of(walk(1.0), PLUG_IN_GAIT)
    markers = np.stack([track * 1000.0 for track in tracks.values()], axis=1)
    markers[5:9, 3] = np.nan
    frames, points = markers.shape[:2]
    scale = -1.0 if floating else 0.25
    rows = np.concatenate([np.nan_to_num(markers), np.where(np.isnan(markers[..., :1]), -1.0, 0.0)], axis=2)
    rows[..., :3] /= abs(scale)
    per_frame = 2
    factor = 1.0 if floating else 4.0
    analog = np.tile(FORCES / factor, (frames, per_frame))
    writer = Writer(processor)
    writer.words("POINT", "USED", [points])
    writer.reals("POINT", "RATE", np.array([100.0]))
    writer.texts("POINT", "LABELS", list(tracks))
    writer.texts("POINT", "UNITS", ["mm"])
    writer.words("POINT", "FRAMES", [frames])
    writer.words("ANALOG", "USED", [6])
    writer.reals("ANALOG", "RATE", np.array([100.0 * per_frame]))
    writer.reals("ANALOG", "SCALE", np.full(6, factor) if floating else np.array([factor] * 3 + [factor * 64] * 3))
    if not floating:
        analog[:, 3::6] /= 64
        analog[:, 4::6] /= 64
        analog[:, 5::6] /= 64
        analog = analog.round()
    writer.texts("ANALOG", "UNITS", ["N"] * 3 + ["Nmm"] * 3)
    writer.words("FORCE_PLATFORM", "USED", [1])
    writer.words("FORCE_PLATFORM", "TYPE", [kind])
    writer.words("FORCE_PLATFORM", "CHANNEL", [1, 2, 3, 4, 5, 6], (6, 1))
    corners = np.array([[464.0, 508.0, 0.0], [0.0, 508.0, 0.0], [0.0, 0.0, 0.0], [464.0, 0.0, 0.0]]).T
    writer.reals("FORCE_PLATFORM", "CORNERS", corners[..., None])
    writer.reals("FORCE_PLATFORM", "ORIGIN", np.array([[0.0], [0.0], [-40.0]]))
    start = (first - 1) / 100.0
    writer.reals("EVENT", "TIMES", np.array([[0.0, 0.0, 0.0], [start + 0.5, start + 0.75, start + 9.0]]))
    writer.texts("EVENT", "LABELS", ["Foot Strike", "RTO", "Foot Off"])
    writer.texts("EVENT", "CONTEXTS", ["Left", "", "Left"])
    table = np.concatenate([rows.reshape(frames, -1), analog], axis=1)
    return writer.file(table if floating else table.round(), points, per_frame, first, scale), markers


@pytest.mark.parametrize("processor", [84, 85, 86])
@pytest.mark.parametrize("floating", [True, False])
def test_numbers_of_every_computer(tmp_path: Path, processor: int, floating: bool) -> None:
    path = tmp_path / "walk.c3d"
    content, markers = whole_file(processor, floating=floating)
    path.write_bytes(content)
    file = read_c3d_file(path)
    np.testing.assert_allclose(file.points, markers, atol=1e-3 if floating else 0.13)
    assert np.isnan(file.points[5:9, 3]).all()
    assert (file.rate_hz, file.first_frame, file.analog_rate_hz) == (100.0, 30, 200.0)
    np.testing.assert_allclose(file.analog[7], FORCES, rtol=2e-3, atol=260.0 if not floating else 1e-3)
    found = read_c3d(path)
    events = [(event.side, event.type, round(event.time_s, 4)) for event in found.events]
    assert events == [("left", "foot_strike", 0.5), ("right", "foot_off", 0.75)]  # the third lies behind the end
    (plate,) = found.plates
    assert plate.force[3, 2] == pytest.approx(700.0, rel=1e-2)
    np.testing.assert_allclose(plate.corners.mean(axis=0)[2], 0.0, atol=1e-9)


@pytest.mark.skipif(not C3D, reason=f"no C3D files in {DATA}")
@pytest.mark.parametrize("path", C3D[::4], ids=lambda path: path.name)
def test_real_files_are_read_as_the_library_reads_them(path: Path) -> None:
    known, file = ezc3d.c3d(str(path)), read_c3d_file(path)
    np.testing.assert_array_equal(known["data"]["points"][:3].transpose(2, 1, 0), file.points)
    np.testing.assert_array_equal(known["data"]["analogs"][0].T, file.analog)
    try:
        platforms = ezc3d.c3d(str(path), extract_forceplat_data=True)["data"]["platform"]
    except Exception:  # the library gives up on a plate that is broken; we leave that one out
        return
    if (
        file.parameters.numbers("FORCE_PLATFORM", "ZERO").ravel()[0] >= 1
        and file.parameters.numbers("FORCE_PLATFORM", "ZERO").ravel()[1] > 1
    ):
        return  # the library does not take off what the empty plate reads
    plates, _ = read_plates(file, LabFrame((2, 1), 1.0))
    for ours, theirs in zip(plates, platforms, strict=True):
        force, centre = theirs["force"].T, theirs["center_of_pressure"].T
        np.testing.assert_allclose(np.abs(ours.force[:, 2]), np.abs(force[:, 2]), atol=1e-9)
        loaded = np.abs(force[:, 2]) > 20.0
        far = [np.linalg.norm(one[loaded], axis=1) for one in (ours.pressure_centre, centre)]
        np.testing.assert_allclose(far[0], far[1], atol=1e-6)


@pytest.mark.skipif(not C3D, reason=f"no C3D files in {DATA}")
def test_plates_whose_block_is_broken_are_left_out_one_by_one() -> None:
    found = read_c3d(DATA / "c3d/gaitkit/figshare_pd_SUB01_off_walk_12b.c3d")
    assert len(found.plates) == 6
    assert "Force plate 7 of 7 has no channel" in found.notes[0]
    assert len(found.events) == 24
    loads = sorted(float(plate.force[:, 2].max()) for plate in found.plates)
    assert 700.0 < loads[-1] < 1000.0


@pytest.mark.parametrize(("what", "value"), [("CHANNEL", 99), ("TYPE", 9), ("USED", 3)])
def test_an_impossible_plate_costs_itself_only(tmp_path: Path, what: str, value: int) -> None:
    content, _ = whole_file(84, floating=True)
    place = content.index(what.encode(), content.index(b"FORCE_PLATFORM")) + len(what) + 2
    place += 2 + content[place + 1]
    path = tmp_path / "walk.c3d"
    path.write_bytes(content[:place] + struct.pack("<h", value) + content[place + 2 :])
    found = read_c3d(path)
    assert "left out" in found.notes[0]
    assert len(found.plates) == (1 if what == "USED" else 0)
    assert len(found.events) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(whole_file(84, floating=True)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 3500))] = data.draw(st.integers(0, 255))
    path = tmp_path / "walk.c3d"
    path.write_bytes(whole)
    try:
        read_c3d(path)
    except GaitkeeperError as error:
        refused = error.exit_status
    else:
        refused = 2
    assert refused == 2


@pytest.mark.parametrize("processor", [84, 85, 86])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, processor: int) -> None:
    content, _ = whole_file(processor, floating=True)
    path = tmp_path / "walk.c3d"
    for share in (0.0, 0.01, 0.05, 0.3, 0.7, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(GaitkeeperError) as caught:
            read_c3d(path)
        assert caught.value.code == "lab-file-broken"


def test_no_points_and_no_frames(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "walk.c3d", walk(1.0))
    content = bytearray(path.read_bytes())
    for place, said in ((2, "without markers"), (8, "points in")):  # the number of points; the last frame
        changed = bytearray(content)
        changed[place : place + 2] = b"\0\0"
        path.write_bytes(changed)
        with pytest.raises(GaitkeeperError, match=said):
            read_c3d(path)


def test_a_file_of_forces_alone_lacks_its_markers_and_is_not_broken(tmp_path: Path) -> None:
    content, _ = whole_file(84, floating=True)
    path = tmp_path / "forces.c3d"
    path.write_bytes(content[:2] + b"\0\0" + content[4:])
    with pytest.raises(GaitkeeperError) as error:
        read_c3d(path)
    assert error.value.code == "lab-no-markers"
    assert "6 analog channel(s)" in error.value.message
