"""Where in a recording somebody walks straight: turns, standing and waiting are cut out, not averaged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d

from gaitkeeper_client.gait.clean import stretches
from gaitkeeper_client.gait.feet import facing, feet_are_seen, leg_parts
from gaitkeeper_shared.arrays import BoolArray, FloatArray
from gaitkeeper_shared.kinematics import joint, leg_length, midpoint, sagittal_plane
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

LOWEST_SPEED = 0.2
"""Of a walker, in leg lengths per second: 0.17 m/s, slower than any patient who gets anywhere."""
SHORTEST_BOUT_S = 0.8
SLOWEST_STEP_S = 1.5
SHARE_OF_SHORT = 0.7
"""Of a recording too short for a walk, that has to be walking."""
LARGEST_TURN_DEG = 40.0
SPEED_WINDOW_S = 0.5
OUT_OF_TURN = 0.8
"""Of the walk's own median speed along its direction: below, at an end that borders a turn, the turn has begun."""
LONGEST_TURN_S = 5.0
"""Between two walks in different directions; who rests for longer did not just turn."""
PARTING_FEET = 0.3
"""Speed of one foot against the other, in leg lengths a second, of somebody who is stepping."""
STANDING_FOOT = 0.3
"""Of the pelvis' speed, that of a foot which stands on what moves: no way travelled can be told there."""
SHORTEST_ON_THE_SPOT_S = 2.0 * SHORTEST_BOUT_S
STEPS_ON_THE_SPOT = 3
"""By which somebody who stays in his place is known to walk; one step, where he is in sight for less than that: of a
single stride, as cut out by a laboratory, it shows one or two."""
STEP_SPREAD = 0.25
"""Ankles at least this far apart, in leg lengths, at each step of somebody who walks on the spot."""


@dataclass(frozen=True, slots=True)
class Bout:
    """A straight walk. ``points``: (T, J, 2) forward/up of samples ``start`` to ``stop`` of the cleaned tracks.

    ``heading``: as in :func:`~gaitkeeper_shared.kinematics.sagittal_plane`. ``constant_place``: walks on the spot.
    ``feet``: whether the recording shows any; else ankles stand in for them.
    """

    start: int
    stop: int
    time_s: FloatArray
    points: FloatArray
    confidence: FloatArray
    heading: float | tuple[float, float]
    constant_place: bool
    leg: float
    feet: bool = True

    @property
    def rate_hz(self) -> float:
        """Samples per second."""
        return float(1.0 / np.median(np.diff(self.time_s)))

    def foot(self, side: str) -> str:
        """The point that tells where a foot stands: its heel, or its ankle. From foot to foot it is as far."""
        return f"{side}_heel" if self.feet else f"{side}_ankle"

    @property
    def duration_s(self) -> float:
        """From the first to the last sample, in seconds."""
        return float(self.time_s[-1] - self.time_s[0])


def find_bouts(tracks: JointTrajectories) -> tuple[Bout, ...]:
    """Straight walks in cleaned, evenly sampled tracks, in order of time.

    Of a recording that is hardly longer than the shortest walk, a part of it is enough: for its events, no more.
    """
    shortest = min(SHORTEST_BOUT_S, SHARE_OF_SHORT * float(tracks.time_s[-1] - tracks.time_s[0]))
    positions = tracks.positions
    planar = positions if tracks.dimensions == 2 else np.stack([_norm_xy(positions), positions[..., 2]], axis=-1)
    leg = leg_length(positions)
    if not np.isfinite(leg) or leg <= 0.0 or positions.shape[0] < 5:
        return ()
    needed = [JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in leg_parts(positions)]
    seen: BoolArray = np.all(np.isfinite(planar[:, needed]), axis=(1, 2))
    velocity = _velocity(tracks, leg)
    bouts: list[Bout] = []
    travels = [] if _ground_moves(tracks, seen, velocity, leg) else _straight(velocity, seen, tracks.sample_rate_hz)
    for start, stop in _out_of_turns(travels, velocity, tracks.sample_rate_hz):
        if (stop - start - 1) / tracks.sample_rate_hz >= shortest - 1e-6:
            bouts.append(_bout(tracks, start, stop, _heading(positions, start, stop), False, leg))
    if not bouts:
        bouts = _on_the_spot(tracks, seen, leg)
    return tuple(bouts)


def turns(bouts: Sequence[Bout]) -> list[tuple[float, float]]:
    """(start, end) in seconds of every turn: what was cut out between two walks in different directions."""
    return [
        (float(before.time_s[-1]), float(after.time_s[0]))
        for before, after in pairwise(bouts)
        if float(after.time_s[0] - before.time_s[-1]) <= LONGEST_TURN_S and _angle_deg(before, after) > LARGEST_TURN_DEG
    ]


def walks_backwards(bout: Bout) -> bool:
    """Whether the feet point, or the knees bend, against the way travelled, by more than 90 degrees.

    Never of a walk on the spot, whose heading is where they point.
    """
    ahead = facing(bout.points)[:, 0]
    seen = ahead[np.isfinite(ahead)]
    return bool(seen.size) and float(seen.mean()) < 0.0


def _angle_deg(one: Bout, other: Bout) -> float:
    ways = [np.atleast_1d(np.asarray(bout.heading, dtype=np.float64)) for bout in (one, other)]
    cosine = float(ways[0] @ ways[1]) / float(np.linalg.norm(ways[0]) * np.linalg.norm(ways[1]) + 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _norm_xy(positions: FloatArray) -> FloatArray:
    distance: FloatArray = np.linalg.norm(positions[..., :2], axis=-1)
    return distance


def _velocity(tracks: JointTrajectories, leg: float) -> FloatArray:
    """(T, D-1) horizontal velocity of the pelvis in leg lengths per second, over half a second; NaN where not seen."""
    hips = midpoint(tracks.positions, "hip")[:, : tracks.dimensions - 1]
    window = max(3, round(SPEED_WINDOW_S * tracks.sample_rate_hz))
    velocity = np.full_like(hips, np.nan)
    for start, stop in stretches(np.asarray(np.isfinite(hips).all(axis=1))):
        if stop - start > 2:
            raw = np.gradient(hips[start:stop], axis=0) * tracks.sample_rate_hz
            velocity[start:stop] = uniform_filter1d(raw, size=min(window, stop - start), axis=0, mode="nearest")
    return velocity / leg


def _ground_moves(tracks: JointTrajectories, seen: BoolArray, velocity: FloatArray, leg: float) -> bool:
    """Whether the standing foot moves: on a belt, however the walker drifts on it, or where a camera goes along.

    Over ground it goes at 0.01 to 0.1 of the pelvis' speed, on a belt at 1.4 times and more. A camera that is turned
    after the walker, and of which nothing else is known, lies between. Told while the feet part.
    """
    feet = np.full((2, *velocity.shape), np.nan)
    for start, stop in stretches(seen):
        if stop - start > 2:
            for number, side in enumerate(SIDES):
                track = joint(tracks.positions[start:stop], f"{side}_ankle")[:, : velocity.shape[1]]
                feet[number, start:stop] = np.gradient(track, axis=0) * tracks.sample_rate_hz / leg
    speeds = np.linalg.norm(feet, axis=2)
    slower = np.where((speeds[0] < speeds[1])[:, None], feet[0], feet[1])
    stepping = np.linalg.norm(feet[0] - feet[1], axis=1) >= PARTING_FEET
    if not stepping.any():
        return False
    ground = float(np.linalg.norm(np.median(slower[stepping], axis=0)))
    pelvis = float(np.median(np.linalg.norm(velocity[stepping], axis=1)))
    return ground > max(STANDING_FOOT * pelvis, 0.5 * LOWEST_SPEED)


def _straight(velocity: FloatArray, seen: BoolArray, rate_hz: float) -> list[tuple[int, int]]:
    speed = np.linalg.norm(velocity, axis=1)
    moving = seen & (np.nan_to_num(speed) >= LOWEST_SPEED)
    # Who walks slowly nearly stops with every step.
    for (_, stop), (start, _) in pairwise(stretches(moving)):
        slowed = seen[stop:start].all() and float(speed[stop:start].min()) >= 0.25 * LOWEST_SPEED
        if slowed and start - stop <= SLOWEST_STEP_S * rate_hz:
            moving[stop:start] = True
    parts: list[tuple[int, int]] = []
    for start, stop in stretches(moving):
        parts.extend(_without_turns(velocity, start, stop))
    return parts


def _without_turns(velocity: FloatArray, start: int, stop: int) -> list[tuple[int, int]]:
    """The stretches of start..stop whose direction stays within :data:`LARGEST_TURN_DEG` of their own mean."""
    unit = velocity[start:stop] / np.linalg.norm(velocity[start:stop], axis=1, keepdims=True)
    mean = unit.mean(axis=0)
    cosine = np.cos(np.radians(LARGEST_TURN_DEG))
    length = float(np.linalg.norm(mean))
    if length > 0.0 and bool((unit @ (mean / length) >= cosine).all()):
        return [(start, stop)]
    parts: list[tuple[int, int]] = []
    first = 0
    running = unit[0]
    for i in range(1, unit.shape[0] + 1):
        turned = i == unit.shape[0] or float(unit[i] @ running) / float(np.linalg.norm(running) + 1e-9) < cosine
        if turned:
            parts.append((start + first, start + i))
            if i < unit.shape[0]:
                first, running = i, unit[i]
        else:
            running = running + unit[i]
    return parts


def _out_of_turns(parts: list[tuple[int, int]], velocity: FloatArray, rate_hz: float) -> list[tuple[int, int]]:
    """The parts without the beginnings and ends in which the walker is already, or still, turning."""
    means = [velocity[start:stop].mean(axis=0) for start, stop in parts]
    units = [mean / (float(np.linalg.norm(mean)) + 1e-9) for mean in means]
    cosine = np.cos(np.radians(LARGEST_TURN_DEG))
    turns = [
        bool((after[0] - before[1]) / rate_hz <= LONGEST_TURN_S and float(units[i] @ units[i + 1]) < cosine)
        for i, (before, after) in enumerate(pairwise(parts))
    ]
    kept = []
    for i, (start, stop) in enumerate(parts):
        along = velocity[start:stop] @ units[i]
        steady = np.flatnonzero(along >= OUT_OF_TURN * float(np.median(along)))
        # The speed is a mean over a window: half of one more, and no sample of the turn is in it.
        more = round(0.5 * SPEED_WINDOW_S * rate_hz)
        first = start + int(steady[0]) + more if i > 0 and turns[i - 1] else start
        last = start + int(steady[-1]) + 1 - more if i < len(turns) and turns[i] else stop
        kept.append((first, max(first, last)))
    return kept


def _heading(positions: FloatArray, start: int, stop: int) -> float | tuple[float, float]:
    hips = midpoint(positions[start:stop], "hip")
    tenth = max(1, (stop - start) // 10)
    way = hips[-tenth:].mean(axis=0) - hips[:tenth].mean(axis=0)
    if positions.shape[2] == 2:
        return 1.0 if way[0] > 0 else -1.0
    return float(way[0]), float(way[1])


def _on_the_spot(tracks: JointTrajectories, seen: BoolArray, leg: float) -> list[Bout]:
    """A walk that stays in its place (treadmill): known by ankles that pass each other again and again."""
    bouts = []
    when = tracks.time_s[seen]
    duration_s = float(when[-1] - when[0]) if when.size else 0.0
    short = duration_s < SHORTEST_ON_THE_SPOT_S
    shortest, fewest = (SHARE_OF_SHORT * duration_s, 1) if short else (SHORTEST_ON_THE_SPOT_S, STEPS_ON_THE_SPOT)
    for start, stop in stretches(seen):
        if (stop - start - 1) / tracks.sample_rate_hz < shortest:
            continue
        heading = _facing(tracks.positions[start:stop])
        bout = _bout(tracks, start, stop, heading, True, leg)
        spread = (joint(bout.points, "left_ankle") - joint(bout.points, "right_ankle"))[:, 0] / leg
        state = np.where(spread > STEP_SPREAD / 2, 1, np.where(spread < -STEP_SPREAD / 2, -1, 0))
        steps = np.count_nonzero(np.diff(state[state != 0]))
        if steps >= fewest and steps / bout.duration_s >= 0.6:
            bouts.append(bout)
    return bouts


def _facing(positions: FloatArray) -> float | tuple[float, float]:
    ahead = np.nanmean(facing(positions), axis=0)
    if positions.shape[2] == 2:
        return 1.0 if ahead[0] > 0 else -1.0
    return float(ahead[0]), float(ahead[1])


def _bout(
    tracks: JointTrajectories,
    start: int,
    stop: int,
    heading: float | tuple[float, float],
    constant_place: bool,
    leg: float,
) -> Bout:
    points = sagittal_plane(tracks.positions[start:stop], heading)
    time_s, confidence = tracks.time_s[start:stop], tracks.confidence[start:stop]
    return Bout(start, stop, time_s, points, confidence, heading, constant_place, leg, feet_are_seen(tracks.positions))
