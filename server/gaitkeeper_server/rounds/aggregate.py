"""Checks of what sites send, and the mean of it.

Every site weighs the same: weights by the number of patients would tell that number. The mean is folded in the order of
the sites' names and in double precision, so that recorded replies give the same bits again, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.models.parts import may_change
from gaitkeeper_shared.secure.arithmetic import Vector, decode_mean, encode


def check_update(
    site: str, update: Weights | None, reference: Weights, trained: str = "all", largest: float = math.inf
) -> Weights:
    """The update, where its names, shapes and types are those of ``reference`` and all its numbers are finite.

    ``trained``: the study's ``model.trained`` with ``+`` between; other arrays must come back as they were sent.
    ``largest``: how far the update may lie from ``reference``, in L2 over all arrays.
    Raises ``update-unusable``.
    """
    if update is None:
        raise GaitkeeperError("update-unusable", site=site, why="it carries no weights")
    # Their order says nothing: safetensors does not keep it.
    if set(update) != set(reference):
        unknown = [name[:80] for name in sorted(set(update) ^ set(reference))[:3]]
        raise GaitkeeperError("update-unusable", site=site, why=f"its arrays are not the model's ({unknown})")
    for name, expected in reference.items():
        array = update[name]
        if array.shape != expected.shape:
            why = f"{name} has shape {array.shape} instead of {expected.shape}"
            raise GaitkeeperError("update-unusable", site=site, why=why)
        if array.dtype != expected.dtype:
            why = f"{name} has type {array.dtype} instead of {expected.dtype}"
            raise GaitkeeperError("update-unusable", site=site, why=why)
        if not np.isfinite(array).all():
            raise GaitkeeperError("update-unusable", site=site, why=f"{name} holds NaN or infinity")
        if not may_change(name, trained) and not np.array_equal(array, expected):
            raise GaitkeeperError(
                "update-unusable", site=site, why=f"it changed {name}, which the study keeps as it is"
            )
    distance = math.sqrt(sum(_squared_distance(update[name], expected) for name, expected in reference.items()))
    if not distance <= largest:
        why = f"it lies {distance:.3g} from the model, and private steps lead at most {largest:.3g} away"
        raise GaitkeeperError("update-unusable", site=site, why=why)
    return update


def _squared_distance(array: np.ndarray[Any, np.dtype[Any]], other: np.ndarray[Any, np.dtype[Any]]) -> float:
    return float(np.sum((array.astype(np.float64) - other.astype(np.float64)) ** 2))


def mean_of_updates(updates: Iterable[Weights]) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Mean with equal weights. One update after the other: memory does not grow with the number of sites."""
    total: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    types: dict[str, np.dtype[Any]] = {}
    count = 0
    for update in updates:
        count += 1
        for name, array in update.items():
            if name not in total:
                total[name] = np.zeros(array.shape, np.float64)
                types[name] = array.dtype
            total[name] += array
    if count == 0:
        raise ValueError("there is nothing to take the mean of")
    return {name: (value / count).astype(types[name]) for name, value in total.items()}


def with_momentum(mean: Weights, current: Weights, before: Weights, momentum: float) -> Weights:
    """The next weights of a study whose momentum the coordinator applies (distributed noise), heavy-ball form.

    ``current``: what the sites started from in this round, ``before``: in the round before; their difference is the
    last step, which is what sites with local trust carry on by themselves. Polyak 1964,
    doi:10.1016/0041-5553(64)90137-5.
    """
    moved = {}
    for name, array in mean.items():
        last = current[name].astype(np.float64) - before[name].astype(np.float64)
        moved[name] = (array.astype(np.float64) + momentum * last).astype(array.dtype)
    return moved


def mean_of_sum(
    total: Vector, sites: tuple[str, ...], reference: Weights, trained: str = "all", largest: float = math.inf
) -> Weights:
    """The mean of the updates in an opened sum, checked as far as a sum can be: names, range, what must not change.

    A single site's update cannot be looked at: an honest site clips it; of one that sends something else only the
    effect on the mean is seen. Raises ``secure-sum-unusable``.
    """
    mean = decode_mean(total, len(sites), reference)
    if not all(may_change(name, trained) for name in reference):
        kept = decode_mean(encode(reference), 1, reference)
        # What everybody sent as it came is as it came, but for the steps of the quantiser.
        mean = {
            name: reference[name] if not may_change(name, trained) and np.array_equal(array, kept[name]) else array
            for name, array in mean.items()
        }
    try:
        check_update("all", mean, reference, trained, largest)
    except GaitkeeperError as error:
        why = error.values["why"]
        raise GaitkeeperError("secure-sum-unusable", sites=", ".join(sites), why=why) from error
    return mean
