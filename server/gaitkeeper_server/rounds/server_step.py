"""What the coordinator makes of the mean of a round's updates: the model that the next round starts from.

Everything here works on numbers that are private already, masked sums among them, and costs no privacy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaitkeeper_server.rounds.aggregate import with_momentum
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.study import Study, Training, momentum_at_coordinator

State = Mapping[str, np.ndarray[Any, np.dtype[Any]]]
"""What a server's optimiser keeps between rounds: arrays by name; empty where it keeps nothing."""

_FIRST, _SECOND = "first.", "second."


@dataclass(frozen=True, slots=True)
class Stepped:
    """The weights after a round, and the optimiser's state, to be kept in the same transaction."""

    weights: Weights
    state: State


def server_step(
    study: Study, number: int, mean: Weights, current: Weights, before: Weights | None, state: State
) -> Stepped:
    """The weights after round ``number``.

    ``mean``: of the sites' weights. ``current``: what they started from, ``before``: what they started from in the
    round before, None in the first. ``state``: of the round before.
    """
    training = study.training
    if training.calibrates(number):
        return Stepped(mean, {})
    if training.strategy == "fedadam":
        return _adam(training, number, mean, current, state)
    if before is None or training.momentum == 0 or not momentum_at_coordinator(study):
        return Stepped(mean, {})
    return Stepped(with_momentum(mean, current, before, training.momentum), {})


def _adam(training: Training, number: int, mean: Weights, current: Weights, state: State) -> Stepped:
    """Reddi et al. 2021, doi:10.48550/arXiv.2003.00295, with the corrected rate of Flower's strategy of that name."""
    rate = training.server_learning_rate * math.sqrt(1.0 - training.second_momentum ** (number + 1.0))
    rate /= 1.0 - training.momentum ** (number + 1.0)
    weights, kept = {}, {}
    for name, array in mean.items():
        old = current[name].astype(np.float64)
        change = array.astype(np.float64) - old
        first, second = (state.get(part + name, np.zeros(())) for part in (_FIRST, _SECOND))
        kept[_FIRST + name] = training.momentum * first + (1.0 - training.momentum) * change
        kept[_SECOND + name] = training.second_momentum * second + (1.0 - training.second_momentum) * change**2
        step = rate * kept[_FIRST + name] / (np.sqrt(kept[_SECOND + name]) + training.adaptivity)
        weights[name] = (old + step).astype(array.dtype)
    return Stepped(weights, kept)
