"""Every format that is written, in one table."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.lab.export.content import ExportContent, content_of
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Recording


@dataclass(frozen=True, slots=True)
class Format:
    """``suffix``: of the file's name; empty for a folder. ``write``: into a path that does not exist yet."""

    name: str
    suffix: str
    write: Callable[[ExportContent, Path], None]


def _c3d(content: ExportContent, path: Path) -> None:
    from gaitkeeper_client.lab.export.c3d import write_c3d

    write_c3d(content, path)


def _trc(content: ExportContent, path: Path) -> None:
    from gaitkeeper_client.lab.export.text import trc_text

    path.write_text(trc_text(content, path.name), "utf-8")


def _mot(content: ExportContent, path: Path) -> None:
    from gaitkeeper_client.lab.export.text import mot_text

    path.write_text(mot_text(content), "utf-8")


def _csv(content: ExportContent, path: Path) -> None:
    from gaitkeeper_client.lab.export.text import csv_text

    path.write_text(csv_text(content), "utf-8")


def _bids(content: ExportContent, path: Path) -> None:
    from gaitkeeper_client.lab.export.bids import write_bids

    write_bids(content, path)


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


def export(recording: Recording, name: str, path: Path) -> None:
    """Write a recording in the format ``name``: the whole file or folder, or nothing.

    A file that exists is replaced, a folder that exists is not. Raises ``export-format-unknown``, ``export-exists``,
    ``export-unwritable``, ``export-no-points`` or ``export-no-scale``.
    """
    if name not in FORMATS:
        raise GaitkeeperError("export-format-unknown", name=name, known=", ".join(FORMATS))
    chosen, content = FORMATS[name], content_of(recording)
    if path.is_dir() or (not chosen.suffix and path.exists()):
        raise GaitkeeperError("export-exists", path=path)
    partial = path.with_name(f".{path.name}.{os.getpid()}{chosen.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen.write(content, partial)
        if chosen.suffix:
            write_durably(path, partial.read_bytes())
        else:
            partial.rename(path)
    except OSError as error:
        raise GaitkeeperError("export-unwritable", path=path, detail=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
