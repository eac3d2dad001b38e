"""Cadence where a strike was missed: of a walk that slows down, so that every stride has its say."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.test_gait_parameters_definitions import standing, walk_of

from gaitkeeper_client.gait.cycles import strides_around_gaps
from gaitkeeper_client.gait.parameters import parameters
from gaitkeeper_shared.recording import GaitEvent


def slowing(strides: int = 7) -> list[GaitEvent]:
    """Strikes of a walk whose every stride lasts 40 ms longer than the one before."""
    left = 0.1 + np.cumsum([0.0, *(1.0 + 0.04 * n for n in range(strides))])
    right = 0.5 * (left[:-1] + left[1:])
    strikes = [GaitEvent(float(t), "left", "foot_strike", 1.0) for t in left]
    strikes += [GaitEvent(float(t), "right", "foot_strike", 1.0) for t in right]
    return sorted(strikes, key=lambda event: event.time_s)


@pytest.mark.parametrize("missed", [2, 3, 11, 12])
def test_a_missed_strike_does_not_move_cadence(missed: int) -> None:
    whole = slowing()
    torn = [event for number, event in enumerate(whole) if number != missed]
    true, found = (parameters((walk_of(standing(10.0), events),))["cadence"] for events in (whole, torn))
    assert true.value is not None
    assert found.value == pytest.approx(true.value, rel=1e-6)
    assert found.n == true.n, "the gap counts as the two strides that it is"
    mean_of_others = parameters((walk_of(standing(10.0), torn),))["stride_time"].value
    assert mean_of_others is not None
    assert abs(120.0 / mean_of_others - true.value) > 0.005 * true.value, "the others speak for themselves only"


def test_a_foot_that_rests_for_the_time_of_two_strides_made_one() -> None:
    both = [event for event in slowing() if not 3.0 < event.time_s < 5.2]
    assert strides_around_gaps(both, 1.1) == []
