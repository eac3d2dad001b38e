"""Walkers in space whose events are known, as laboratories would record them: noise, gaps, belts and turns."""

from __future__ import annotations

from functools import cache

import numpy as np

from gaitkeeper_client.gait.bouts import find_bouts
from gaitkeeper_client.gait.clean import clean
from gaitkeeper_client.validation.agreement import EventAgreement, compare_events
from gaitkeeper_client.validation.reference import Span, spans_of_labels
from gaitkeeper_shared.kinematics import midpoint
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories
from gaitkeeper_shared.simulation.patient import Disorder, draw_patient
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, SIDES

SECONDS = 6.0
KINDS: tuple[EventType, ...] = ("foot_strike", "foot_off")
OF_FEET = [JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("heel", "toe")]


@cache
def walker(disorder: Disorder, seed: int) -> tuple[Walk, tuple[GaitEvent, ...]]:
    """A walk, and its true events but those at its very ends."""
    walk = Walk(draw_patient("p", disorder, seed), SECONDS)
    truth = walk_truth(walk).events
    return walk, tuple(event for event in truth if 0.1 < event.time_s < SECONDS - 0.1)


def recorded(
    disorder: Disorder, seed: int = 3, *, rate_hz: float = 100.0, noise_m: float = 0.001
) -> tuple[JointTrajectories, tuple[GaitEvent, ...]]:
    """The walk as markers with noise, and its events."""
    walk, events = walker(disorder, seed)
    clean = walk.trajectories(rate_hz)
    noise = np.random.default_rng(seed).normal(0.0, noise_m, clean.positions.shape)
    return JointTrajectories(clean.time_s, clean.positions + noise, "m", clean.confidence), events


def on_a_belt(walk: JointTrajectories) -> JointTrajectories:
    """The longest straight walk in it without its mean speed."""
    bout = max(find_bouts(clean(walk).tracks), key=lambda one: one.duration_s)
    hips = midpoint(walk.positions, "hip")[:, :2]
    inside = (walk.time_s >= bout.time_s[0]) & (walk.time_s <= bout.time_s[-1]) & np.isfinite(hips).all(axis=1)
    speed = np.array([np.polyfit(walk.time_s[inside], hips[inside, axis], 1)[0] for axis in (0, 1)])
    positions = walk.positions.copy()
    positions[..., :2] -= walk.time_s[:, None, None] * speed
    return JointTrajectories(walk.time_s, positions, walk.unit, walk.confidence)


def without(walk: JointTrajectories, columns: list[int]) -> JointTrajectories:
    """The walk in which these joints are never seen."""
    positions, confidence = walk.positions.copy(), walk.confidence.copy()
    positions[:, columns], confidence[:, columns] = np.nan, 0.0
    return JointTrajectories(walk.time_s, positions, walk.unit, confidence)


def without_feet(walk: JointTrajectories) -> JointTrajectories:
    """The walk without heels and tips of the feet."""
    return without(walk, OF_FEET)


def with_a_turn(walk: JointTrajectories, degrees: float, radius_m: float) -> tuple[JointTrajectories, tuple[Span, ...]]:
    """The walk along +x with its path bent amid it, and the time of the turn; planted feet stay planted."""
    angle = np.radians(degrees)
    length = radius_m * abs(angle)
    middle = midpoint(walk.positions, "hip")[:, 0]
    begin = float(middle[middle.size // 2]) - 0.5 * length
    x, y = walk.positions[..., 0], walk.positions[..., 1]
    turned = np.sign(angle) * np.clip(x - begin, 0.0, length) / radius_m
    after = np.maximum(x - begin - length, 0.0)
    positions = walk.positions.copy()
    positions[..., 0] = np.minimum(x, begin) + radius_m * np.sin(np.abs(turned)) + after * np.cos(angle)
    positions[..., 1] = np.sign(angle) * radius_m * (1.0 - np.cos(turned)) + after * np.sin(angle)
    positions[..., 0] -= y * np.sin(turned)
    positions[..., 1] += y * np.cos(turned)
    amid = walk.time_s[(middle > begin - 0.3) & (middle < begin + length + 0.3)]
    spans = tuple(Span(side, kind, float(amid[0]), float(amid[-1])) for side in ("left", "right") for kind in KINDS)
    return JointTrajectories(walk.time_s, positions, walk.unit, walk.confidence), spans


def agreement(
    ours: tuple[GaitEvent, ...], truth: tuple[GaitEvent, ...], spans: tuple[Span, ...] | None = None
) -> dict[EventType, EventAgreement]:
    """Both kinds of events against the truth, or against that part of it which lies in ``spans``."""
    if spans is not None:
        truth = tuple(event for event in truth if any(span.holds(event) for span in spans))
    judged = spans_of_labels(truth) if spans is None else spans
    return {kind: compare_events(ours, truth, judged, kind) for kind in KINDS}
