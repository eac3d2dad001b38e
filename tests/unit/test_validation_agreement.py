"""The statistics of agreement, against values that can be worked out by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaitkeeper_client.validation.agreement import (
    FOUND_S,
    CurveAgreement,
    EventAgreement,
    Pairs,
    compare_durations,
    compare_events,
    icc21,
    limits_of_agreement,
    pair_times,
)
from gaitkeeper_client.validation.charts import curves_chart
from gaitkeeper_client.validation.page import page
from gaitkeeper_client.validation.reference import Span, spans_of_labels
from gaitkeeper_client.validation.validate import Validation, summary
from gaitkeeper_shared.recording import EventType, GaitEvent, Side

TIMES = st.lists(st.floats(0.0, 5.0), max_size=8)


def event(time_s: float, side: Side = "left", kind: EventType = "foot_strike") -> GaitEvent:
    return GaitEvent(time_s, side, kind, 1.0)


@given(TIMES, TIMES)
def test_pairs_are_one_to_one_and_near(ours: list[float], reference: list[float]) -> None:
    pairs = pair_times(ours, reference)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(abs(ours[i] - reference[j]) <= FOUND_S for i, j in pairs)
    lonely = [i for i in range(len(ours)) if i not in {i for i, _ in pairs}]
    taken = {j for _, j in pairs}
    assert not any(
        abs(ours[i] - reference[j]) <= FOUND_S for i in lonely for j in range(len(reference)) if j not in taken
    )


def test_the_greatest_number_of_pairs_wins_over_the_nearest_pair() -> None:
    assert sorted(pair_times([1.0, 1.15], [1.14, 1.3])) == [(0, 0), (1, 1)]


def test_counts_and_times() -> None:
    reference = (event(1.0), event(2.0), event(3.0), event(4.0))
    ours = (event(1.01), event(2.1), event(2.5), event(2.99), event(9.0), event(4.0, "right"))
    row = compare_events(ours, reference, spans_of_labels(reference), "foot_strike").to_json()
    assert (row["n"], row["found"], row["false"]) == (
        4,
        3,
        1,
    )  # 9.0 and the right foot are not the reference's to judge
    assert row["f1_50ms"] == pytest.approx(2 * 2 / (4 + 4))
    assert row["bias_ms"] == pytest.approx((10 + 100 - 10) / 3, abs=0.01)
    assert row["mae_ms"] == pytest.approx(40.0)
    assert row["loa_ms"] is None


def test_a_wrong_side_is_a_miss_and_a_false_one() -> None:
    reference = (event(1.0, "left"),)
    spans = (Span("left", "foot_strike", 0.0, 2.0), Span("right", "foot_strike", 0.0, 2.0))
    row = compare_events([event(1.0, "right")], reference, spans, "foot_strike").to_json()
    assert (row["found"], row["false"], row["f1_50ms"]) == (0, 1, 0.0)


def test_nothing_at_all_is_null_and_not_zero() -> None:
    row = EventAgreement().to_json()
    assert (row["n"], row["f1_50ms"], row["mae_ms"], row["p95_ms"]) == (0, None, None, None)


def test_icc_of_the_textbook() -> None:
    # Shrout & Fleiss 1979, tables 2 and 4: four judges, six targets, ICC(2,1) = 0.29.
    judges = np.array([[9.0, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert icc21(judges) == pytest.approx(0.29, abs=0.005)
    assert icc21(judges[:, [0, 0]]) == pytest.approx(1.0)
    assert icc21(judges[:4]) is None


def test_limits_of_agreement() -> None:
    low, high = limits_of_agreement(np.array([1.0, 2, 3, 4, 5]))
    assert (low, high) == pytest.approx((3 - 1.96 * np.sqrt(2.5), 3 + 1.96 * np.sqrt(2.5)))


def test_durations_need_both_ends_in_both() -> None:
    reference = [event(0.0), event(0.7, kind="foot_off"), event(1.1), event(1.8, kind="foot_off")]
    ours = [event(0.01), event(0.69, kind="foot_off"), event(1.1)]
    stance = compare_durations(ours, reference, "foot_strike", "foot_off")
    stride = compare_durations(ours, reference, "foot_strike", "foot_strike")
    assert stance.ours == pytest.approx((0.68,))
    assert stance.reference == pytest.approx((0.7,))
    assert stride.ours == pytest.approx((1.09,))


def test_marks_and_force_plates_are_told_apart() -> None:
    """Of files with different references, each kind also has numbers of its own, and a table on the page."""
    truth, ours = event(1.0), event(1.03)
    same = {"stance_s": Pairs(), "stride_s": Pairs()}
    rows = {
        source: compare_events([found], [truth], spans_of_labels((truth,)), "foot_strike")
        for source, found in (("force plates", truth), ("events of the file", ours))
    }
    every = [
        Validation(source, source, "analysed", "m", {"foot_strike": row, "foot_off": EventAgreement()}, same)
        for source, row in rows.items()
    ]
    document = summary(every)
    assert document["foot_strike"]["mae_ms"] == pytest.approx(15.0)
    assert document["references"]["force plates"]["foot_strike"]["mae_ms"] == 0.0
    assert document["references"]["events of the file"]["foot_strike"]["mae_ms"] == pytest.approx(30.0)
    assert "Each reference by itself" in page(every, document)
    assert "Each reference by itself" not in page(every[:1], summary(every[:1]))


def test_the_page_says_what_its_numbers_are_and_in_which_unit() -> None:
    times = Pairs((0.70, 0.72, 0.71, 0.69, 0.75), (0.69, 0.70, 0.70, 0.68, 0.72))
    rows = {kind: EventAgreement(6, 0, (1.0, 2.0, -3.0, 4.0, 5.0)) for kind in ("foot_strike", "foot_off")}
    cycles = np.random.default_rng(2).normal(size=(5, 2, 101)).cumsum(axis=2)
    angle = CurveAgreement(cycles[:, 0].ravel(), cycles[:, 1].ravel(), times, cycles)
    one = Validation(
        "walk.c3d", "force plates", "analysed", "m", rows, {"stance_s": times, "stride_s": times},
        {"hip_flexion_left": angle},
    )  # fmt: skip
    text = page([one], summary([one]))
    shown = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert "<p>walk.c3d, against force plates.</p>" in shown
    assert "_" not in shown, "no name of a program's"
    assert all(key not in shown for key in ("loa", "icc21", "mae", "rmse"))
    for told in ("<td>stance times</td>", "mean difference, s", "mean difference, ms", "limits of agreement, ms",
                 "<td>83%</td>", "<td>+1.8</td>", "<td>hip flexion, left</td>", "against the pelvis"):  # fmt: skip
        assert told in shown, told
    assert "mean +1.8 ms" in text


def test_curves_are_drawn_one_by_one_and_as_means() -> None:
    cycles = np.random.default_rng(2).normal(size=(3, 2, 101)).cumsum(axis=2)
    drawn = str(curves_chart("knee_flexion_left", cycles))
    assert drawn.count("<path") == 2 * 3 + 2
    assert "nan" not in drawn
    assert curves_chart("knee_flexion_left", cycles[:0]) == ""
