"""One recording, or several, against their references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_client.gait.analysis import CURVE_POINTS, Analysis
from gaitkeeper_client.lab.options import NOTHING_SAID, ReadOptions
from gaitkeeper_client.lab.walk import LabWalk
from gaitkeeper_client.pose.estimators import EstimatorChoice
from gaitkeeper_client.validation.agreement import (
    CurveAgreement,
    EventAgreement,
    Pairs,
    compare_durations,
    compare_events,
)
from gaitkeeper_client.validation.reference import Reference, spans_of_labels
from gaitkeeper_client.validation.sources import named_reference, own_reference
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import ANGLES, joint_angles
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.skeleton import SIDES

VALIDATION_SCHEMA = "gaitkeeper.validation/1"
KINDS: tuple[EventType, ...] = ("foot_strike", "foot_off")


@dataclass(frozen=True, slots=True)
class Validation:
    """How one recording's events and angles agree with its reference. ``name``: of the file, without its folder.

    ``status``: of the analysis; events are compared also where it refused the walk's parameters.
    """

    name: str
    reference: str
    status: str
    method: str
    events: Mapping[str, EventAgreement]
    durations: Mapping[str, Pairs]
    angles: Mapping[str, CurveAgreement] = field(default_factory=dict)
    planes: Mapping[str, CurveAgreement] = field(default_factory=dict)
    """Angles of joints with three axes, over complete cycles."""
    labels: Mapping[str, EventAgreement] = field(default_factory=dict)
    """Against the laboratory's own events, where :attr:`events` are held against force plates."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A recording that could not be compared. ``code``: the error's, ``why``: its message."""

    name: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Said:
    """What recordings do not say of themselves, as :func:`~gaitkeeper_client.sources.analyse_file` takes it."""

    options: ReadOptions = NOTHING_SAID
    estimator: EstimatorChoice | None = None


NOTHING = Said()


def validate_files(paths: Sequence[Path], said: Said = NOTHING) -> tuple[list[Validation], list[LeftOut]]:
    """Each recording against what it holds itself; one that cannot be used does not cost the others.

    Raises what :func:`validate_file` raises for the first one where none can be used.
    """
    done: list[Validation] = []
    left_out: list[LeftOut] = []
    first: GaitkeeperError | None = None
    for path in paths:
        try:
            done.append(validate_file(path, said=said))
        except GaitkeeperError as error:
            first = first or error
            left_out.append(LeftOut(path.name, error.code, error.message))
    if first is not None and not done:
        raise first
    return done, left_out


def validate_file(path: Path, reference: Path | None = None, *, said: Said = NOTHING) -> Validation:
    """Analyse a recording and hold the result against its own reference, or that in ``reference``.

    Raises ``validation-no-reference``, ``validation-reference-unknown``, and what the readers raise.
    """
    from gaitkeeper_client.gait.pipeline import analyse
    from gaitkeeper_client.lab.readers import Reader
    from gaitkeeper_client.sources import analyse_file, check_source

    known = check_source(path, said.options, said.estimator)
    if isinstance(known, Reader):
        walk = known.read(path, said.options)
        points, mapping = walk.trajectories, said.options.mapping
        truth = named_reference(reference, path, points, mapping) if reference else own_reference(path, walk)
        source = {"kind": walk.kind}
        analysis = analyse(points, height_m=said.options.height_m, source=source, segments=walk.segments)
        return compare(path.name, analysis, points, truth, walk)
    if reference is None:
        what = "a video" if known is None else f"a file of {known.title}"
        why = f"{what} holds no other measurement than the one that is to be judged"
        raise GaitkeeperError("validation-no-reference", path=path, detail=why)
    truth = named_reference(reference, path, None)
    analysis = analyse_file(path, height_m=said.options.height_m, options=said.options, estimator=said.estimator)
    return compare(path.name, analysis, None, truth)


def compare(
    name: str,
    analysis: Analysis,
    points: JointTrajectories | None,
    truth: Reference,
    walk: LabWalk | None = None,
) -> Validation:
    """Hold an analysis against a reference.

    ``points``: as read, for angles where the analysis was refused. ``walk``: its segments give angles in three planes.
    """
    return Validation(
        name,
        truth.source,
        analysis.status,
        str(analysis.quality.get("event_method", "")),
        {kind: compare_events(analysis.events, truth.events, truth.spans, kind) for kind in KINDS},
        {
            "stance_s": compare_durations(analysis.events, truth.events, "foot_strike", "foot_off"),
            "stride_s": compare_durations(analysis.events, truth.events, "foot_strike", "foot_strike"),
        },
        _angles(analysis, points, truth),
        _planes(analysis, walk, truth),
        _against_labels(analysis, truth),
        truth.notes + tuple(f"The analysis refused this walk ({one.code}): {one.message}" for one in analysis.reasons),
    )


def _against_labels(analysis: Analysis, truth: Reference) -> dict[str, EventAgreement]:
    if not truth.labels:
        return {}
    spans = spans_of_labels(truth.labels)
    return {kind: compare_events(analysis.events, truth.labels, spans, kind) for kind in KINDS}


def _angles(analysis: Analysis, points: JointTrajectories | None, truth: Reference) -> dict[str, CurveAgreement]:
    from gaitkeeper_client.gait.bouts import find_bouts
    from gaitkeeper_client.gait.hidden_leg import with_whole_legs
    from gaitkeeper_client.gait.squaring import picture_of, set_square, views_of

    tracks = _tracks(analysis, points)
    if truth.angle_time_s is None or tracks is None:
        return {}
    bouts = []
    walks = find_bouts(tracks)
    for bout, view in zip(walks, views_of(walks, tracks.positions, picture_of(analysis)), strict=True):
        whole = with_whole_legs(set_square(bout, view), view)
        bouts.append((bout.time_s, joint_angles(whole.points)))
    return _agreement(bouts, [f"{angle}_{side}" for angle in ANGLES for side in SIDES], truth, analysis.events)


def _planes(analysis: Analysis, walk: LabWalk | None, truth: Reference) -> dict[str, CurveAgreement]:
    """Angles in three planes against the laboratory's of the same name."""
    from gaitkeeper_client.gait.bouts import find_bouts
    from gaitkeeper_client.gait.joint_coordinates import during, smoothed, three_planes
    from gaitkeeper_client.gait.planes import PLANES

    if truth.angle_time_s is None or walk is None or not walk.segments:
        return {}
    tracks = _tracks(analysis, walk.trajectories)
    assert tracks is not None
    even = smoothed(walk.segments, walk.trajectories.time_s, tracks.time_s, tracks.sample_rate_hz)
    bouts = [
        (bout.time_s, three_planes(during(even, bout), bout.heading))
        for bout in find_bouts(tracks)
        if isinstance(bout.heading, tuple)
    ]
    return _agreement(bouts, [f"{angle}_{side}" for angle in PLANES for side in SIDES], truth, analysis.events)


def _tracks(analysis: Analysis, points: JointTrajectories | None) -> JointTrajectories | None:
    """The cleaned tracks: the analysis' own, or those of the points where it was refused."""
    from gaitkeeper_client.gait.clean import clean

    if analysis.recording is not None:
        return analysis.recording.trajectories
    return None if points is None else clean(points).tracks


def _agreement(
    bouts: Sequence[tuple[FloatArray, Mapping[str, FloatArray]]],
    names: Sequence[str],
    truth: Reference,
    events: Sequence[GaitEvent],
) -> dict[str, CurveAgreement]:
    """Each angle that both have. ``bouts``: of every straight walk, its times and its angles, (T,) degrees."""
    found = {}
    for name in names:
        mine = [(time_s, angles[name]) for time_s, angles in bouts if name in angles]
        if name in truth.angles and mine:
            parts = [_curve(time_s, angle, truth, name, events) for time_s, angle in mine]
            ours, theirs = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
            if ours.size:
                ranges = sum((part[2] for part in parts), Pairs())
                found[name] = CurveAgreement(ours, theirs, ranges, np.concatenate([part[3] for part in parts]))
    return found


def _curve(
    time_s: FloatArray, mine: FloatArray, truth: Reference, name: str, events: Sequence[GaitEvent]
) -> tuple[FloatArray, FloatArray, Pairs, FloatArray]:
    assert truth.angle_time_s is not None
    theirs = np.interp(time_s, truth.angle_time_s, truth.angles[name], left=np.nan, right=np.nan)
    both = np.isfinite(mine) & np.isfinite(theirs)
    side = name.rpartition("_")[2]
    strikes = [event.time_s for event in events if event.type == "foot_strike" and event.side == side]
    ranges, cycles = Pairs(), [np.empty((0, 2, CURVE_POINTS))]
    for start, end in pairwise(strikes):
        inside = (time_s >= start) & (time_s <= end)
        if inside.sum() > 5 and both[inside].all() and end <= time_s[-1]:
            ranges += Pairs((float(np.ptp(mine[inside])),), (float(np.ptp(theirs[inside])),))
            at = np.linspace(start, end, CURVE_POINTS)
            cycles.append(np.stack([np.interp(at, time_s, one) for one in (mine, theirs)])[None])
    return mine[both], theirs[both], ranges, np.concatenate(cycles)


def summary(validations: Iterable[Validation], left_out: Sequence[LeftOut] = ()) -> dict[str, Any]:
    """``gaitkeeper.validation/1``: all recordings together, and each by itself under ``files``."""
    every = list(validations)
    document: dict[str, Any] = {"schema": VALIDATION_SCHEMA, **_joined(every)}
    document["references"] = {
        source: {"files": len(same)} | {kind: row for kind, row in _joined(same).items() if kind in KINDS}
        for source in sorted({one.reference for one in every})
        if (same := [one for one in every if one.reference == source])
    }
    document["files"] = [
        {"name": one.name, "reference": one.reference, "status": one.status, "event_method": one.method}
        | {"notes": list(one.notes)}
        | _joined([one])
        for one in every
    ]
    document["left_out"] = [{"name": one.name, "code": one.code, "why": one.why} for one in left_out]
    return document


def _joined(every: Sequence[Validation]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for kind in KINDS:
        document[kind] = sum((one.events[kind] for one in every), EventAgreement()).to_json()
    names = sorted({name for one in every for name in one.angles})
    document["angles"] = {name: _mean([one.angles[name] for one in every if name in one.angles]) for name in names}
    turned = sorted({name for one in every for name in one.planes})
    document["planes"] = {name: _mean([one.planes[name] for one in every if name in one.planes]) for name in turned}
    document["durations"] = {
        name: sum((one.durations[name] for one in every), Pairs()).to_json() for name in ("stance_s", "stride_s")
    }
    document["laboratory_events"] = {
        kind: sum((one.labels[kind] for one in every if one.labels), EventAgreement()).to_json() for kind in KINDS
    }
    return document


def _mean(angles: Sequence[CurveAgreement]) -> dict[str, Any]:
    """Sums of counts, and means over recordings of the rest: each has an offset of its own. Ranges are pooled."""
    curves = [one.to_json() for one in angles]
    joined: dict[str, Any] = {}
    for key in curves[0]:
        values = [value for curve in curves if (value := curve[key]) is not None]
        if key in {"samples", "cycles"}:
            joined[key] = int(sum(values))
        else:
            joined[key] = round(float(np.mean(values)), 2) if values else None
    ranges = sum((one.ranges for one in angles), Pairs()).to_json()
    return joined | {"range_loa_deg": ranges["loa"], "range_icc21": ranges["icc21"]}
