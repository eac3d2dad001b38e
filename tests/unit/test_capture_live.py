"""When a camera's frame was taken: its stream's clock, held against the moment at which the frame came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaitkeeper_client.capture.live import MOST_EARLY_S, StreamClock


def test_frames_that_wait_in_a_buffer_keep_the_time_at_which_they_were_taken() -> None:
    clock, arrived, told = StreamClock(), 7.0, []
    for number in range(100):
        # Each is looked at for 80 ms while the camera goes on taking one every 50: they come ever later, then at once.
        arrived = arrived + 0.08 if number < 60 else max(arrived + 0.001, 7.0 + 0.05 * number)
        told.append(clock.time_of(0.05 * number, arrived))
    assert told == pytest.approx([7.08 + 0.05 * number for number in range(100)])


def test_a_camera_without_a_clock_is_timed_by_what_arrives() -> None:
    clock = StreamClock()
    assert [clock.time_of(0.0, arrived) for arrived in (1.0, 1.1, 1.25)] == [1.0, 1.1, 1.25]


def test_a_clock_that_begins_anew_or_jumps_is_trusted_no_more() -> None:
    for later in (0.0, 1e6):
        clock = StreamClock()
        assert clock.time_of(100.0, 1.0) == 1.0
        assert clock.time_of(100.1, 1.1) == pytest.approx(1.1)
        assert clock.time_of(later, 1.2) == 1.2
        assert clock.time_of(later + 0.1, 1.4) == 1.4


@given(
    st.lists(
        st.tuples(st.floats(-1.0, 100.0, allow_subnormal=False), st.floats(0.0, 2.0, allow_subnormal=False)), min_size=1
    )
)
def test_time_never_runs_backwards_and_never_far_ahead(steps: list[tuple[float, float]]) -> None:
    clock, own, arrived, before = StreamClock(), 0.0, 0.0, float("-inf")
    for step, later in steps:
        own, arrived = own + step, arrived + later
        told = clock.time_of(own, arrived)
        assert before <= told <= arrived + MOST_EARLY_S + 1e-9
        before = told
