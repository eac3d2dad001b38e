"""The audit: a lower bound on epsilon from trials, held against what the ledger would have claimed for them.

The ledger's claim is a whole curve, an epsilon for each delta; the bound is taken at several deltas that are fixed
beforehand, since few trials show more at a large delta than at a tiny one. One bound above the claim anywhere refutes
it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from gaitkeeper_client.proof.bounds import LowerBound, lower_bounds
from gaitkeeper_client.proof.calibrated import calibrated_target, observe_calibration
from gaitkeeper_client.proof.canary import STATISTICS, Target, Trial, observe, target
from gaitkeeper_client.proof.faults import FAULTS, NONE, Fault
from gaitkeeper_client.proof.masking import Consortium, guess
from gaitkeeper_client.proof.membership import guess_by_loss
from gaitkeeper_shared.privacy.accounting import Spend, epsilon

if TYPE_CHECKING:
    from gaitkeeper_client.training.dpsgd import PrivateSteps
    from gaitkeeper_shared.study import Study

OTHER_DELTAS = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Chosen before any trial: a mis-stated rate shows best where the claimed epsilon is near 0."""
DOUBT = 1e-3
"""Chance that a sound system is refuted, over all statistics and deltas of one examination together."""
MOST_STEPS = 8

Progress = Callable[[str, int, int], None]
"""Called with what is examined, trials done and trials in all."""

_Seen = TypeVar("_Seen", float, Trial)
_ITSELF: Mapping[str, Callable[[Target, float], float]] = {"projection": lambda _, seen: seen}


@dataclass(frozen=True, slots=True)
class Examination:
    """What trials showed of one version of the code. ``claims``: the ledger's epsilon at each delta."""

    name: str
    title: str
    claims: dict[float, float]
    bounds: tuple[LowerBound, ...]
    trials: int
    seconds: float

    def best(self, delta: float) -> LowerBound:
        """The highest bound at a delta, of all statistics."""
        return max((bound for bound in self.bounds if bound.delta == delta), key=lambda bound: bound.epsilon)

    @property
    def refuted(self) -> tuple[LowerBound, ...]:
        """Bounds above what was claimed."""
        return tuple(bound for bound in self.bounds if bound.epsilon > self.claims[bound.delta])


@dataclass(frozen=True, slots=True)
class Audit:
    """``sound``: the code as it is, by each way of looking. ``faults``: each planted fault. ``steps``: private steps in
    each trial."""

    study: str
    steps: int
    noise_multiplier: float
    sample_rate: float
    honest_sites: int
    confidence: float
    sound: tuple[Examination, ...]
    faults: tuple[Examination, ...]

    @property
    def holds(self) -> bool:
        """Nothing that was seen of the code as it is contradicts the ledger."""
        return not any(examination.refuted for examination in self.sound)

    @property
    def missed(self) -> tuple[str, ...]:
        """Planted faults that were not noticed."""
        return tuple(fault.name for fault in self.faults if not fault.refuted)


@dataclass(frozen=True, slots=True)
class Effort:
    """How many trials there are, each with the canary and once more without."""

    sound: int = 4000
    fault: int = 600
    membership: int = 300
    masking: int = 150


QUICK = Effort(sound=100, fault=200, membership=20, masking=30)


def audit(
    study: Study,
    study_hash: str,
    *,
    effort: Effort | None = None,
    faults: tuple[Fault, ...] = FAULTS,
    on_progress: Progress | None = None,
) -> Audit:
    """Audit a study's training, by default with some thousand trials.

    Raises ``audit-no-privacy``, ``audit-no-canary``, ``audit-fault-not-planted``.
    """
    chosen = effort or Effort()
    with _one_thread():
        return _audit(target(study, study_hash), chosen, faults, on_progress)


def _audit(attacked: Target, chosen: Effort, faults: tuple[Fault, ...], on_progress: Progress | None) -> Audit:
    study = attacked.study
    count = min(MOST_STEPS, study.training.rounds * study.training.local_steps)
    sites = Consortium.fresh()
    sound = (
        examine(attacked, count, NONE, chosen.sound, on_progress),
        by_loss(attacked, count, chosen.membership, on_progress),
        behind_masks(attacked, sites, chosen.masking, on_progress),
        *calibrating(attacked, chosen.sound, on_progress),
    )
    planted = [examine(attacked, count, fault, chosen.fault, on_progress) for fault in faults]
    planted.append(behind_masks(attacked, None, chosen.masking, on_progress))
    assert attacked.prices.train is not None
    noise, rate = attacked.prices.train.noise_multiplier, study.privacy.sample_rate
    return Audit(study.name, count, noise, rate, attacked.honest, 1.0 - DOUBT, sound, tuple(planted))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Steps this small take longer by several threads, and ten times as long where these wait for a busy processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def examine(
    attacked: Target, count: int, fault: Fault, trials: int, on_progress: Progress | None = None
) -> Examination:
    """Trials of ``count`` steps each under one fault, or none, and what they show to who sees every update."""
    steps = fault.steps(attacked.steps)

    def trial(_: int, present: bool) -> Trial:
        with fault.plant():
            return observe(attacked, count, present=present, steps=steps)

    return _judged(attacked, fault.name, fault.title, claimed(attacked, count), STATISTICS, trial, trials, on_progress)


def calibrating(
    attacked: Target, trials: int, on_progress: Progress | None = None, steps: PrivateSteps | None = None
) -> tuple[Examination, ...]:
    """The same of the rounds that calibrate; nothing of a study without any. ``steps``: other ones than the study's."""
    count = min(MOST_STEPS, attacked.study.training.calibration)
    if count == 0:
        return ()
    chosen = calibrated_target(attacked)

    def trial(_: int, present: bool) -> Trial:
        return observe_calibration(chosen, count, present=present, steps=steps or chosen.steps)

    title = "as it is, rounds that calibrate"
    found = _judged(chosen, "calibration", title, claimed(chosen, count), STATISTICS, trial, trials, on_progress)
    return (found,)


def by_loss(attacked: Target, count: int, trials: int, on_progress: Progress | None = None) -> Examination:
    """Membership inference: somebody who gets the finished model alone looks at the canary's loss."""

    def trial(number: int, present: bool) -> float:
        return guess_by_loss(attacked, count, number, present=present)

    title = "as it is, from the finished model alone"
    return _judged(attacked, "loss", title, claimed(attacked, count), _ITSELF, trial, trials, on_progress)


def behind_masks(
    attacked: Target, sites: Consortium | None, trials: int, on_progress: Progress | None = None
) -> Examination:
    """One site's masked update in the coordinator's hands; ``sites``: None where masking is off."""

    def trial(number: int, present: bool) -> float:
        return guess(attacked, sites, 2 * number + present, present=present)

    name, title = ("masking-off", "masking off") if sites is None else ("masked", "as it is, one site's masked update")
    claims = dict.fromkeys(claimed(attacked, 1), 0.0)
    return _judged(attacked, name, title, claims, _ITSELF, trial, trials, on_progress)


def _judged(
    attacked: Target,
    name: str,
    title: str,
    claims: dict[float, float],
    statistics: Mapping[str, Callable[[Target, _Seen], float]],
    trial: Callable[[int, bool], _Seen],
    trials: int,
    on_progress: Progress | None,
) -> Examination:
    """Trials with and without the canary, in turn, and a bound from each statistic at each delta."""
    started = time.monotonic()
    seen: dict[bool, list[_Seen]] = {True: [], False: []}
    for number in range(trials):
        for present in (True, False):
            seen[present].append(trial(number, present))
        if on_progress is not None:
            on_progress(title, number + 1, trials)
    alpha = DOUBT / (len(statistics) * len(claims))
    bounds: list[LowerBound] = []
    for label, statistic in statistics.items():
        inside, outside = (np.array([statistic(attacked, one) for one in seen[side]]) for side in (True, False))
        bounds += lower_bounds(label, inside, outside, tuple(claims), alpha)
    return Examination(name, title, claims, tuple(bounds), trials, time.monotonic() - started)


def claimed(attacked: Target, count: int) -> dict[float, float]:
    """What the ledger says that ``count`` steps cost, at the study's delta and at the audit's own."""
    price, privacy = attacked.prices.train, attacked.study.privacy
    assert price is not None
    spend = [Spend(price.noise_multiplier, privacy.sample_rate, count)]
    deltas = sorted({privacy.delta, *(delta for delta in OTHER_DELTAS if delta > privacy.delta)})
    return {delta: max(0.0, epsilon(spend, delta)) for delta in deltas if math.isfinite(delta)}
