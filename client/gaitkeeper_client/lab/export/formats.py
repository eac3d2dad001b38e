"""Every format that is written, in one table."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.lab.export.content import ExportContent, content_of
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Recording

Files = Mapping[str, bytes]
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that ZIP knows: the same files make the same archive."""


@dataclass(frozen=True, slots=True)
class Format:
    """``suffix``: of the file's name; empty for a folder. ``files``: by their paths in the folder, or one under any
    name; it is given the name that the file will have."""

    name: str
    suffix: str
    files: Callable[[ExportContent, str], Files]


def _c3d(content: ExportContent, name: str) -> Files:
    from gaitkeeper_client.lab.export.c3d import c3d_bytes

    return {name: c3d_bytes(content)}


def _trc(content: ExportContent, name: str) -> Files:
    from gaitkeeper_client.lab.export.text import trc_text

    return {name: trc_text(content, name).encode("utf-8")}


def _mot(content: ExportContent, name: str) -> Files:
    from gaitkeeper_client.lab.export.text import mot_text

    return {name: mot_text(content).encode("utf-8")}


def _csv(content: ExportContent, name: str) -> Files:
    from gaitkeeper_client.lab.export.text import csv_text

    return {name: csv_text(content).encode("utf-8")}


def _bids(content: ExportContent, name: str) -> Files:
    from gaitkeeper_client.lab.export.bids import bids_files

    return bids_files(content)


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("c3d", ".c3d", _c3d),
        Format("trc", ".trc", _trc),
        Format("mot", ".mot", _mot),
        Format("csv", ".csv", _csv),
        Format("motion-bids", "", _bids),
    )
}


def format_of(name: str) -> Format:
    """A format by its name. Raises ``export-format-unknown``."""
    if name not in FORMATS:
        raise GaitkeeperError("export-format-unknown", name=name, known=", ".join(FORMATS))
    return FORMATS[name]


def export(recording: Recording, name: str, path: Path) -> None:
    """Write a recording in the format ``name``: the whole file or folder, or nothing.

    A file that exists is replaced, a folder that exists is not. Raises ``export-format-unknown``, ``export-exists``,
    ``export-unwritable``, ``export-no-points`` or ``export-no-scale``.
    """
    chosen, content = format_of(name), content_of(recording)
    if path.is_dir() or (not chosen.suffix and path.exists()):
        raise GaitkeeperError("export-exists", path=path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        files = chosen.files(content, path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if chosen.suffix:
            write_durably(path, next(iter(files.values())))
            return
        for inner, data in files.items():
            (partial / inner).parent.mkdir(parents=True, exist_ok=True)
            (partial / inner).write_bytes(data)
        partial.rename(path)
    except OSError as error:
        raise GaitkeeperError("export-unwritable", path=path, detail=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def exported(recording: Recording, name: str, stem: str, status: str = "") -> bytes:
    """A recording in the format ``name`` as one file, a folder as a ZIP archive.

    ``stem``: the file's name without its ending; ``status``: of the report that the walk is of. Raises as
    :func:`export`.
    """
    chosen = format_of(name)
    files = chosen.files(content_of(recording, status), f"{stem}{chosen.suffix}")
    return next(iter(files.values())) if chosen.suffix else zipped(files)


def zipped(files: Files) -> bytes:
    """Files by their paths as one ZIP archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path, data in files.items():
            out.writestr(zipfile.ZipInfo(path, _LONG_AGO), data, zipfile.ZIP_DEFLATED)
    return archive.getvalue()
