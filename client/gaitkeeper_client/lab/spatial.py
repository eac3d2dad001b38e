"""Markers of a room as a walk: what a static trial adds, the joints, and the segments with three axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gaitkeeper_client.lab.joints import LabFrame, to_trajectories
from gaitkeeper_client.lab.segments import segments_of
from gaitkeeper_client.lab.static import with_static
from gaitkeeper_client.lab.walk import LabWalk, Markers


def spatial_walk(
    kind: str,
    markers: Markers,
    path: Path,
    mapping: Mapping[str, tuple[str, ...]] | None,
    person: str | None,
    static: Path | None,
    *,
    right_handed: bool = False,
) -> tuple[LabWalk, LabFrame]:
    """One person's walk, and the frame that turns the file's other vectors alike.

    Raises what :func:`with_static` and :func:`to_trajectories` raise.
    """
    whole, remarks = with_static(markers, path, static, person)
    trajectories, frame = to_trajectories(whole, path, mapping, right_handed=right_handed, person=person)
    segments, without = segments_of(whole, path, frame, trajectories, person)
    return LabWalk(kind, trajectories, notes=frame.notes + remarks + without, segments=segments), frame
