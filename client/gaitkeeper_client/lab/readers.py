"""Every kind of file of points that is read, in one table: how it is recognised and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.lab.feet import with_heels
from gaitkeeper_client.lab.footforce import FootForces, StrideTimes
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.plate_table import looks_like_plate_table
from gaitkeeper_client.lab.text import first_line_of, head_of
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_shared.errors import GaitkeeperError


@dataclass(frozen=True, slots=True)
class Reader:
    """One kind of source. ``recognises`` gets the path and the first line (empty for a folder or no text).

    ``takes``: the fields of :class:`ReadOptions` that it can use.
    """

    kind: str
    title: str
    recognises: Callable[[Path, str], bool]
    load: Callable[[Path, ReadOptions], LabWalk]
    takes: frozenset[str]

    def read(self, path: Path, options: ReadOptions) -> LabWalk:
        """The walk in a file, with heels. Raises what the kind's own reader raises."""
        return with_heels(self.load(path, options))


@dataclass(frozen=True, slots=True)
class ForceReader:
    """One kind of foot-force series; fields as in :class:`Reader`."""

    kind: str
    title: str
    recognises: Callable[[Path, str], bool]
    read: Callable[[Path], FootForces | StrideTimes]
    takes: frozenset[str]


def force_reader_of(path: Path) -> ForceReader | None:
    """The reader for a series of foot forces; None where it is none."""
    first = _first_line(path)
    return next((reader for reader in FORCE_READERS if reader.recognises(path, first)), None)


def reader_of(path: Path) -> Reader | None:
    """The reader for a file or folder, by suffix and first line; None where no reader knows it."""
    first = _first_line(path)
    return next((reader for reader in READERS if reader.recognises(path, first)), None)


def read_walk(path: Path, options: ReadOptions | None = None) -> LabWalk:
    """Read a walk of any known kind. Raises ``source-unknown`` and what its reader raises."""
    reader = reader_of(path)
    if reader is None:
        raise GaitkeeperError("source-unknown", path=path, kinds="; ".join(reader.title for reader in READERS))
    return reader.read(path, options or NOTHING_SAID)


def check_kind(path: Path) -> None:
    """What no reader knows and is not even meant to be a video.

    Raises ``source-folder``, ``source-packed``, ``source-frame``, ``source-plates-alone``, or ``source-unknown`` for a
    table.
    """
    if path.is_dir():
        raise GaitkeeperError("source-folder", path=path)
    check_packed(path)
    if _is_frame(path):
        raise GaitkeeperError("source-frame", path=path, folder=path.parent)
    if looks_like_plate_table(path, _first_line(path)):
        beside = path.with_suffix(".trc")
        raise GaitkeeperError("source-plates-alone", path=path, markers=beside if beside.exists() else "MARKERS.trc")
    if is_table(path):
        kinds = [reader.title for reader in READERS] + [reader.title for reader in FORCE_READERS]
        raise GaitkeeperError("source-unknown", path=path, kinds="; ".join(["a video", *kinds]))


def is_table(path: Path) -> bool:
    """Whether a file's name is one of tables and documents, none of a video."""
    return path.suffix.lower() in _TABLES


def check_packed(path: Path) -> None:
    """Raise ``source-packed`` for a file that is an archive, whatever its name says."""
    head = head_of(path, 8)
    packed = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
    if packed is not None and path.suffix.lower() not in _OFFICE:
        raise GaitkeeperError("source-packed", path=path, kind=packed)


_TABLES = frozenset({".csv", ".txt", ".tsv", ".json", ".mot", ".sto", ".mat", ".xml", ".xls", ".xlsx", ".zip"})
_OFFICE = frozenset({".xlsx", ".docx", ".ods"})
_PACKED = {
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}
_FIRST_LINE_BYTES = 65_536


def _first_line(path: Path) -> str:
    return first_line_of(head_of(path, _FIRST_LINE_BYTES))


def _suffix(*suffixes: str) -> Callable[[Path, str], bool]:
    return lambda path, _: path.suffix.lower() in suffixes and not path.is_dir()


def _csv(looks: str) -> Callable[[Path, str], bool]:
    def recognises(path: Path, first: str) -> bool:
        from gaitkeeper_client.lab.motive import looks_like_motive
        from gaitkeeper_client.pose.readers.deeplabcut import looks_like_deeplabcut
        from gaitkeeper_client.pose.readers.mediapipe_csv import looks_like_landmarks

        tests = {"motive": looks_like_motive, "dlc": looks_like_deeplabcut, "landmarks": looks_like_landmarks}
        return path.suffix.lower() == ".csv" and tests[looks](first)

    return recognises


def _bvh(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.bvh import read_bvh

    return LabWalk("bvh", read_bvh(path, options.mapping))


def _c3d(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.c3d import read_c3d

    return read_c3d(path, options.mapping, options.person, options.static)


def _trc(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.trc import read_trc

    return read_trc(path, options.mapping, options.person, options.static)


def _motive(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.motive import read_motive

    return read_motive(path, options.mapping, options.person, options.static)


def _openpose(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.pose.readers.openpose import read_openpose

    return read_openpose(path, options)


def _is_openpose(path: Path, _: str) -> bool:
    if not path.is_dir():
        return False
    from gaitkeeper_client.pose.readers.openpose import keypoint_files

    return bool(keypoint_files(path))


def _is_frame(path: Path) -> bool:
    from gaitkeeper_client.pose.readers.openpose import is_frame

    return is_frame(path)


def _deeplabcut(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.pose.readers.deeplabcut import read_deeplabcut

    return read_deeplabcut(path, options)


def _landmarks(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.pose.readers.mediapipe_csv import read_landmarks

    return read_landmarks(path, options)


def _gaitkit(path: Path, _: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.gaitkit_json import read_gaitkit

    return read_gaitkit(path)


def _is_gaitkit(path: Path, first: str) -> bool:
    return path.suffix.lower() == ".json" and first.lstrip().startswith("{") and '"angle_frames"' in first


def _is_motion(path: Path, first: str) -> bool:
    """Any table of OpenSim that holds no forces: what its columns lack, its reader says."""
    return path.suffix.lower() in _MOTIONS and not path.is_dir() and not _is_forces(path, first)


def _coordinates(path: Path, options: ReadOptions) -> LabWalk:
    from gaitkeeper_client.lab.coordinates import walk_of_coordinates
    from gaitkeeper_client.lab.mot import read_mot

    return walk_of_coordinates(read_mot(path), path, "mot", options.height_m)


_MOTIONS = (".mot", ".sto")
_BELT = frozenset({"belt_m_s"})
_NAMED = _BELT | {"mapping"}
_MARKERS = _NAMED | {"person", "static"}
_PICTURE = _NAMED | {"rate_hz", "size_px"}

READERS: tuple[Reader, ...] = (
    Reader("c3d", "C3D (.c3d)", _suffix(".c3d"), _c3d, _MARKERS),
    Reader("trc", "markers as TRC (.trc)", _suffix(".trc"), _trc, _MARKERS),
    Reader("gaitkit-json", "walks of gaitkit (.json)", _is_gaitkit, _gaitkit, _BELT),
    Reader("bvh", "BVH (.bvh)", _suffix(".bvh"), _bvh, _NAMED),
    Reader("mot", "joint angles of OpenSim (.mot, .sto)", _is_motion, _coordinates, _BELT),
    Reader("motive-csv", "OptiTrack Motive (.csv)", _csv("motive"), _motive, _MARKERS),
    Reader("deeplabcut", "DeepLabCut (.csv)", _csv("dlc"), _deeplabcut, _PICTURE | {"person"}),
    Reader("deeplabcut", "DeepLabCut (.h5)", _suffix(".h5", ".hdf5"), _deeplabcut, _PICTURE | {"person"}),
    Reader("landmark-csv", "landmarks as NAME_x, NAME_y (.csv)", _csv("landmarks"), _landmarks, _PICTURE | {"person"}),
    Reader(
        "openpose",
        "a folder of OpenPose's *_keypoints.json",
        _is_openpose,
        _openpose,
        _PICTURE - {"mapping"} | {"person"},
    ),
)
"""All kinds of walks."""


def _gaitndd(path: Path) -> FootForces:
    from gaitkeeper_client.lab.footforce import read_gaitndd

    return read_gaitndd(path)


def _gaitpdb(path: Path) -> FootForces:
    from gaitkeeper_client.lab.footforce import read_gaitpdb

    return read_gaitpdb(path)


def _gaitndd_times(path: Path) -> StrideTimes:
    from gaitkeeper_client.lab.footforce import read_gaitndd_times

    return read_gaitndd_times(path)


def _mot_forces(path: Path) -> FootForces:
    from gaitkeeper_client.lab.footforce import read_mot_forces

    return read_mot_forces(path)


def _is_forces(path: Path, _: str) -> bool:
    from gaitkeeper_client.lab.mot import column_names, names_forces

    return path.suffix.lower() in _MOTIONS and names_forces(column_names(path))


def _is_gaitpdb(path: Path, first: str) -> bool:
    return path.suffix.lower() == ".txt" and _are_numbers(first.split(), _GAITPDB_COLUMNS)


def _is_times(path: Path, _: str) -> bool:
    """Stride times; a video's transport stream has the same suffix, and begins with the letter G."""
    if path.suffix.lower() != ".ts" or path.is_dir():
        return False
    from gaitkeeper_client.capture.container import looks_like_video

    head = head_of(path, 16)
    return head[:1] != b"G" and not looks_like_video(head)


def _are_numbers(cells: list[str], count: int) -> bool:
    try:
        return len([float(cell.replace(",", ".")) for cell in cells]) == count
    except ValueError:
        return False


_GAITPDB_COLUMNS = 19

FORCE_READERS: tuple[ForceReader, ...] = (
    ForceReader("gaitndd", "foot forces of PhysioNet gaitndd (.mat)", _suffix(".mat"), _gaitndd, _BELT),
    ForceReader("gaitndd-times", "stride times of PhysioNet gaitndd (.ts)", _is_times, _gaitndd_times, _BELT),
    ForceReader("mot-forces", "ground reaction forces of OpenSim (.mot, .sto)", _is_forces, _mot_forces, _BELT),
    ForceReader("gaitpdb", "foot forces of PhysioNet gaitpdb (.txt)", _is_gaitpdb, _gaitpdb, _BELT),
)
"""All kinds of foot-force series: they are analysed without points."""
