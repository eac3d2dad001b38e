"""Plain updates put together: their mean, or what Flower has against updates that may be anything at all.

Each update was checked before it came here (``aggregate.check_update``); robust rules are for what no check finds, an
update that is possible and wrong. They need every update at once, so that memory grows with the number of sites; the
mean does not. Each update is private by itself, so that no rule costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.study_federation import Federation

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def combined(federation: Federation, updates: Iterable[Weights]) -> Arrays:
    """One update from those of the sites, in the order of their names, by ``federation.combine``.

    Computed in double precision and given back in the arrays' own types, so that recorded replies give the same bits.
    """
    if federation.combine == "mean":
        return mean_of_updates(updates)
    from flwr.server.strategy.aggregate import aggregate_krum, aggregate_median, aggregate_trimmed_avg

    held = list(updates)
    names = list(held[0])
    types = {name: held[0][name].dtype for name in names}
    # Every site weighs the same, as in the mean: weights by patients would tell their number.
    results = [([update[name].astype(np.float64) for name in names], 1) for update in held]
    faulty = federation.byzantine
    if federation.combine == "median":
        arrays = aggregate_median(results)
    elif federation.combine == "trimmed-mean":
        # Flower takes a share and rounds down; the quarter keeps it from losing one to the arithmetic of fractions.
        arrays = aggregate_trimmed_avg(results, (faulty + 0.25) / len(results))
    else:
        arrays = aggregate_krum(results, faulty, 0)
    return {name: np.asarray(array).astype(types[name]) for name, array in zip(names, arrays, strict=True)}
