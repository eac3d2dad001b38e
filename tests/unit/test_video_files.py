"""Video files: true times, upright frames, and a clear error for each way in which a file can be broken."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaitkeeper_client.capture.video import VideoFile
from gaitkeeper_shared.errors import GaitkeeperError

FRAMES, RATE = 40, 25.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that brightens from frame to frame; its upper left corner is red."""
    path = tmp_path_factory.mktemp("video") / "walk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (160, 96))
    for i in range(FRAMES):
        image = np.full((96, 160, 3), 40 + 4 * i, dtype=np.uint8)
        image[:32, :32] = (0, 0, 255)
        writer.write(image)
    writer.release()
    return path


def atoms(data: bytes, start: int, stop: int) -> dict[bytes, tuple[int, int]]:
    found = {}
    while start + 8 <= stop:
        length = struct.unpack(">I", data[start : start + 4])[0]
        found[data[start + 4 : start + 8]] = (start, start + length)
        start += max(length, 8)
    return found


def path_to(data: bytes, *names: bytes) -> list[tuple[int, int]]:
    start, stop, spans = 0, len(data), []
    for name in names:
        span = atoms(data, start, stop)[name]
        spans.append(span)
        start, stop = span[0] + 8, span[1]
    return spans


def test_frames_come_upright_in_rgb_with_their_times(video: Path) -> None:
    with VideoFile(video) as opened:
        frames = list(opened)
        assert (opened.info.width, opened.info.height) == (160, 96)
    assert len(frames) == FRAMES
    assert np.allclose([f.time_s for f in frames], np.arange(FRAMES) / RATE, atol=1e-3)
    red, green, blue = frames[0].image[10, 10].astype(int)
    assert red > 180
    assert max(green, blue) < 90
    assert frames[-1].image[80, 80, 0] > frames[0].image[80, 80, 0] + 100


def test_a_variable_frame_rate_is_read_as_it_is(video: Path, tmp_path: Path) -> None:
    # The index of times is replaced by one with two rates: each frame of the first half lasts three times as long.
    data = video.read_bytes()
    names = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    spans = path_to(data, *names)
    start, stop = spans[-1]
    count, ticks = struct.unpack(">II", data[start + 16 : start + 24])
    assert count == FRAMES
    half = FRAMES // 2
    table = struct.pack(">I4sII", 32, b"stts", 0, 2) + struct.pack(">IIII", half, 3 * ticks // 2, half, ticks // 2)
    grown = bytearray(data[:start] + table + data[stop:])
    for span in spans[:-1]:
        length = struct.unpack(">I", grown[span[0] : span[0] + 4])[0]
        grown[span[0] : span[0] + 4] = struct.pack(">I", length + len(table) - (stop - start))
    path = tmp_path / "variable.mp4"
    path.write_bytes(grown)
    with VideoFile(path) as opened:
        steps = np.diff([frame.time_s for frame in opened])
    assert np.median(steps[: half - 2]) == pytest.approx(1.5 / RATE, abs=2e-3)
    assert np.median(steps[half + 1 :]) == pytest.approx(0.5 / RATE, abs=2e-3)


def test_a_rotation_flag_is_obeyed(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    start = path_to(bytes(data), b"moov", b"trak", b"tkhd")[-1][0]
    matrix = start + 8 + 40  # version 0: flags, times, track, duration, layer, group, volume
    one, wide = 1 << 16, 1 << 30
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 96 * one, 0, wide)
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    with VideoFile(path) as opened:
        assert (opened.info.width, opened.info.height) == (96, 160)
        frame = next(iter(opened))
    assert frame.image.shape == (160, 96, 3)
    assert frame.image[10, 86, 0] > 180, "the red corner belongs to the upper right after a quarter turn"


def test_stopping_early_leaves_no_thread(video: Path) -> None:
    with VideoFile(video) as opened:
        next(iter(opened))
        thread = opened._thread
    assert thread is not None
    assert not thread.is_alive()


def broken_files(video: Path, folder: Path) -> dict[str, Path]:
    data = video.read_bytes()
    moov = path_to(data, b"moov")[-1]
    cases = {
        "empty": b"",
        "text": b"this is no video, whatever its name says\n" * 40,
        "cut": data[: len(data) // 2],
        "no_index": data[: moov[0]],
        "noise": np.random.default_rng(0).bytes(4096),
        "header_only": data[:32],
    }
    paths = {}
    for name, content in cases.items():
        paths[name] = folder / f"{name}.mp4"
        paths[name].write_bytes(content)
    return paths


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty", "video-empty"),
        ("text", "not-a-video"),
        ("cut", "video-truncated"),
        ("no_index", "video-truncated"),
        ("noise", "not-a-video"),
        ("header_only", "video-truncated"),
        ("missing", "video-not-found"),
        ("folder", "not-a-video"),
    ],
)
def test_each_broken_file_has_its_error(
    video: Path, tmp_path: Path, name: str, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = broken_files(video, tmp_path) | {"missing": tmp_path / "missing.mp4", "folder": tmp_path}
    with pytest.raises(GaitkeeperError) as caught, VideoFile(paths[name]) as opened:
        list(opened)
    assert caught.value.code == code
    assert caught.value.exit_status == 2
    assert capfd.readouterr().err == "", "the decoder's own complaints reach the user"


def test_a_hole_in_the_frames_is_noticed(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    start, stop = path_to(bytes(data), b"mdat")[-1]
    middle = (start + stop) // 2
    data[middle:stop] = bytes(stop - middle)
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    with pytest.raises(GaitkeeperError) as caught, VideoFile(path) as opened:
        list(opened)
    assert caught.value.code == "video-truncated"


def test_an_avi_that_was_cut_off(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (160, 96))
    for i in range(20):
        writer.write(np.full((96, 160, 3), 5 * i, dtype=np.uint8))
    writer.release()
    with VideoFile(path) as opened:
        assert len(list(opened)) == 20
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(GaitkeeperError) as caught:
        VideoFile(path)
    assert caught.value.code == "video-truncated"
