"""From joint trajectories to an analysis: clean, find straight walks, events, cycles, parameters, or refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Reason
from gaitkeeper_client.gait.bouts import SHORTEST_BOUT_S, SHORTEST_ON_THE_SPOT_S, Bout, find_bouts, walks_backwards
from gaitkeeper_client.gait.clean import LONGEST_FILL_S, CleanTracks, stretches
from gaitkeeper_client.gait.cycles import find_cycles
from gaitkeeper_client.gait.events.base import EventMethod
from gaitkeeper_client.gait.events.choice import default_method, detect_all
from gaitkeeper_client.gait.feet import feet_are_seen, leg_parts
from gaitkeeper_client.gait.hidden_leg import with_whole_legs
from gaitkeeper_client.gait.joint_coordinates import in_three_planes, smoothed
from gaitkeeper_client.gait.legs_seen import leg_alone, legs_part, sits, upside_down
from gaitkeeper_client.gait.lost_markers import clean_walk
from gaitkeeper_client.gait.moving_camera import describe_camera, moves_during, without_ways
from gaitkeeper_client.gait.parameters import Walk, all_refused, parameters
from gaitkeeper_client.gait.perspective import Picture
from gaitkeeper_client.gait.quality import describe, describe_view
from gaitkeeper_client.gait.refusals import FEWEST_CYCLES, LOWEST_RATE_HZ, reason
from gaitkeeper_client.gait.scale import metres_per_unit
from gaitkeeper_client.gait.squaring import set_square, views_of
from gaitkeeper_client.gait.view import View, comes_nearer, estimate_view
from gaitkeeper_client.gait.walk import belt_speed, in_space
from gaitkeeper_client.lab.walk import Segment
from gaitkeeper_client.language.texts import say, worded
from gaitkeeper_client.pose.camera import CameraMotion
from gaitkeeper_client.pose.tracking import LEAST_SIGHT_S
from gaitkeeper_shared.models.channels import feature_signals
from gaitkeeper_shared.recording import GaitEvent, JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

LEAST_CONFIDENCE = 0.05
NEAR_THE_END_S = 0.1
"""Of a foot off that strides are measured from, within that time of a straight walk's ends, where the foot is not seen
to go. Of 13 less sure ones in 149 drawn walkers 7 were none. They are listed. Foot strikes there are good: 16 of 16
were within 25 ms."""


def analyse(
    trajectories: JointTrajectories,
    *,
    height_m: float | None = None,
    source: Mapping[str, Any],
    method: EventMethod | None = None,
    camera: CameraMotion | None = None,
    picture: Picture | None = None,
    body_share: float = 1.0,
    takes_turns: bool = False,
    segments: Mapping[str, Segment] | None = None,
) -> Analysis:
    """Analyse the walk of one person.

    ``height_m``: the person's height, which gives image points their scale. ``source``: provenance, JSON values only.
    ``method``: how events are found; by default the one that suits the trajectories.
    ``camera``: how the camera moved; None where that is not known, and it is taken to stand still.
    ``picture``: the size of the camera's, without which a view that is not square to the walk cannot be set square.
    ``body_share``: trunk, thigh and shank as the network sees them, over the true ones. ``takes_turns``: whether every
    other sample is of the picture's mirror image (:mod:`~gaitkeeper_client.pose.mirrored`). ``segments``: those of a
    laboratory's markers, on the clock of the trajectories.
    """
    if (side := leg_alone(trajectories)) is not None:
        return _refuse([reason("not-walking", detail=say("why.one_leg", side=say(f"sides.{side}")))], source, {})
    if not _enough_to_see(trajectories):
        return _refuse([reason("no-person", seconds=LEAST_SIGHT_S)], source, {})
    if upside_down(trajectories):
        return _refuse([reason("upside-down")], source, {})
    cleaned = clean_walk(trajectories)
    chosen = method if method is not None else default_method(cleaned.tracks)
    found_bouts = [bout for bout in find_bouts(cleaned.tracks) if legs_part(bout) and not sits(bout.points)]
    bouts = tuple(bout for bout in found_bouts if not _goes_backwards(bout, cleaned))
    backwards = len(found_bouts) - len(bouts)
    # In a picture that moves no foot is at rest, as on a belt.
    resting = [replace(bout, constant_place=True) if moves_during(camera, bout) else bout for bout in bouts]
    positions = cleaned.tracks.positions
    views = views_of(resting, positions, picture)
    seen = [set_square(bout, view) for bout, view in zip(bouts, views, strict=True)]
    events = detect_all(chosen, [set_square(bout, view) for bout, view in zip(resting, views, strict=True)])
    scales = [metres_per_unit(bout, cleaned.tracks.unit, height_m, body_share) for bout in seen]
    walks = tuple(
        replace(_walk(bout, view, cleaned, events, metres), takes_turns=takes_turns)
        for bout, view, metres in zip(seen, views, scales, strict=True)
    )
    quality = describe(trajectories.sample_rate_hz, cleaned, walks) | describe_camera(camera, bouts)
    quality["event_method"] = chosen.name
    if not feet_are_seen(positions):
        quality["feet_seen"] = False
    if backwards:
        quality["walks_backwards"] = backwards
    whole = estimate_view(positions)
    reasons = [reason("walks-backwards")] if backwards and not bouts else _reasons(trajectories, cleaned, walks, whole)
    if any(why.code == "view-unfit" for why in reasons):
        quality |= describe_view(whole)  # that of the walks may be another, and the refusal names this one
    if reasons:
        return _refuse(reasons, source, quality, events)
    recording = Recording(cleaned.tracks, events, _signals(walks), dict(source), quality)
    even = smoothed(segments or {}, trajectories.time_s, cleaned.tracks.time_s, trajectories.sample_rate_hz)
    cycles = tuple(cycle for walk in walks for cycle in in_three_planes(walk.cycles, walk.bout, even))
    found = without_ways(parameters(walks, cleaned.tracks), camera, bouts)
    return Analysis("analysed", (), source, found, events, cycles, quality, recording)


def nobody(source: Mapping[str, Any]) -> Analysis:
    """The analysis of a recording in which nobody is seen at all."""
    return _refuse([reason("no-person", seconds=LEAST_SIGHT_S)], source, {})


def _refuse(
    reasons: list[Reason], source: Mapping[str, Any], quality: Mapping[str, Any], events: tuple[GaitEvent, ...] = ()
) -> Analysis:
    return Analysis("refused", tuple(reasons), source, all_refused(reasons[0]), events, (), quality)


def _enough_to_see(trajectories: JointTrajectories) -> bool:
    if trajectories.time_s.size < 2:
        return False
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    seen = np.isfinite(trajectories.positions[:, hips]).all(axis=(1, 2))
    return float(np.count_nonzero(seen)) / trajectories.sample_rate_hz >= LEAST_SIGHT_S


def _goes_backwards(bout: Bout, cleaned: CleanTracks) -> bool:
    """Seen from the front or the rear, nothing tells where the feet point: that view is refused for itself."""
    view = estimate_view(cleaned.tracks.positions[bout.start : bout.stop])
    return view.name != "front-or-rear" and walks_backwards(bout)


def _walk(bout: Bout, view: View, cleaned: CleanTracks, found: Sequence[GaitEvent], metres: float | None) -> Walk:
    events = tuple(event for event in found if _counts(event, bout))
    cycles = find_cycles(with_whole_legs(bout, view), events)
    return Walk(
        bout,
        events,
        cycles,
        view,
        metres,
        in_space(cleaned.tracks.positions[bout.start : bout.stop], bout.heading),
        cleaned.noise,
        belt=belt_speed(bout, cycles) if bout.constant_place and not bout.feet else 0.0,
    )


def _counts(event: GaitEvent, bout: Bout) -> bool:
    """Whether strides of a straight walk are measured from an event; those found also in turns belong to none."""
    from_the_end_s = float(min(event.time_s - bout.time_s[0], bout.time_s[-1] - event.time_s))
    if from_the_end_s < 0.0:
        return False
    return event.type == "foot_strike" or event.confidence >= LEAST_CONFIDENCE or from_the_end_s > NEAR_THE_END_S


def _reasons(raw: JointTrajectories, cleaned: CleanTracks, walks: tuple[Walk, ...], view: View) -> list[Reason]:
    """Why the whole analysis is refused; empty where it is not. ``view``: of all that is seen, walking or not."""
    reasons = []
    if raw.sample_rate_hz < LOWEST_RATE_HZ - 0.05:  # time stamps are rounded
        reasons.append(reason("frame-rate-too-low", rate=raw.sample_rate_hz, needed=LOWEST_RATE_HZ))
    name = worded(view.name)
    if view.name != "unknown":
        name = say("why.off_the_side", view=name, azimuth=view.azimuth_deg)
    unfit = [reason("view-unfit", what=say("why.walking"), view=name)]
    if not walks:
        if float(raw.time_s[-1] - raw.time_s[0]) < SHORTEST_BOUT_S:
            return [*reasons, reason("recording-too-short", what=say("why.straight_walk"), needed=SHORTEST_BOUT_S)]
        if (gap := _cut_up(cleaned)) > LONGEST_FILL_S:
            return [*reasons, reason("too-few-cycles", cycles=0, needed=FEWEST_CYCLES, detail=_out_of_sight(gap))]
        seated = sits(cleaned.tracks.positions)
        still = [reason("not-walking", detail=say("why.sits" if seated else "why.no_straight"))]
        if view.name == "front-or-rear":
            # Somebody who comes nearer walks, and only the view hides it; else the view is the lesser matter.
            return reasons + (unfit if comes_nearer(cleaned.tracks.positions) else still + unfit)
        return reasons + still
    if view.name == "front-or-rear" or (reasons and not view.sagittal):
        reasons += unfit
    if reasons:
        return reasons
    if float(raw.time_s[-1] - raw.time_s[0]) < SHORTEST_BOUT_S - 1e-6:
        return [reason("recording-too-short", what=say("why.straight_walk"), needed=SHORTEST_BOUT_S)]
    cycles = sum(len(walk.cycles) for walk in walks)
    if cycles < FEWEST_CYCLES:
        return [reason("too-few-cycles", cycles=cycles, needed=FEWEST_CYCLES, detail=_why_so_few(raw, cleaned))]
    return []


def _cut_up(cleaned: CleanTracks) -> float:
    """The longest gap in sight of legs and feet, in seconds; 0 where they are seen for as long as a walk lasts."""
    rate_hz = cleaned.tracks.sample_rate_hz
    positions = cleaned.tracks.positions
    legs = [JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in leg_parts(positions)]
    seen = np.asarray(np.isfinite(positions[:, legs]).all(axis=(1, 2)))
    parts = stretches(seen)
    if any(stop - start >= SHORTEST_BOUT_S * rate_hz for start, stop in parts):
        return 0.0
    return max(((after - before) / rate_hz for (_, before), (after, _) in pairwise(parts)), default=0.0)


def _why_so_few(raw: JointTrajectories, cleaned: CleanTracks) -> str:
    if cleaned.longest_gap_s > LONGEST_FILL_S:
        return _out_of_sight(cleaned.longest_gap_s)
    duration_s = float(raw.time_s[-1] - raw.time_s[0])
    return say("why.one_stride", seconds=duration_s) if duration_s < SHORTEST_ON_THE_SPOT_S else say("why.once")


def _out_of_sight(gap_s: float) -> str:
    return say("why.out_of_sight", gap=gap_s, filled=LONGEST_FILL_S)


def _signals(walks: tuple[Walk, ...]) -> Signals:
    longest = max(walks, key=lambda walk: (len(walk.cycles), walk.bout.duration_s))
    return feature_signals(longest.bout.time_s, with_whole_legs(longest.bout, longest.view).points)
