"""Patients side by side: as many at once as torch may use cores, each on one core.

A pass over one patient's few windows is too small to be split over cores: these wait for each other at every sample of
a recurrent network. Different patients have nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def side_by_side(work: Callable[[int], None], count: int) -> None:
    """Call ``work`` with 0 to ``count`` - 1, on several threads where torch may use several; raises what it raised.

    torch lets go of the interpreter while it computes. The threads end with the call.
    """
    cores = torch.get_num_threads()
    workers = min(cores, count)
    if workers < 2:
        for index in range(count):
            work(index)
        return
    # A thread takes over the number that holds when it first computes.
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, range(count)):
                pass
    finally:
        torch.set_num_threads(cores)
