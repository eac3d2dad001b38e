"""The heatmap finds a planted difference, adds up, and belongs to the model that it claims to explain."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from insight_fixtures import (
    INPUT,
    PLANTED_CHANNEL,
    PLANTED_DEGREES,
    PLANTED_PHASE,
    analysis_of,
    planted,
    planted_findings,
    planted_model,
    walk_recording,
)

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.charts.heatmap import heatmap_charts
from gaitkeeper_client.insight.explanation import explain
from gaitkeeper_client.insight.findings import PHASE_BINS, Explanation, Findings, Highlight, findings_of
from gaitkeeper_client.insight.findings_view import _sentence
from gaitkeeper_client.insight.heatmap import heatmap, place
from gaitkeeper_client.insight.inference import FEWEST_WINDOWS, card_of, judge
from gaitkeeper_client.insight.phases import side_phases
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.windows import placed_windows
from gaitkeeper_shared.recording import GaitEvent

SEED = 42


def findings_on(analysis: Analysis, bundle: ModelBundle) -> Findings:
    return judge(analysis, bundle, card_of(bundle, "7"))


def planted_share(explanation: Explanation) -> float:
    """Share of all absolute contributions in the planted cells."""
    table = {(row.joint, row.side): np.abs(row.contribution) for row in explanation.rows}
    low, high = (round(phase * PHASE_BINS) for phase in PLANTED_PHASE)
    return float(table["knee", "left"][low:high].sum() / sum(values.sum() for values in table.values()))


def test_the_heatmap_finds_the_planted_joint_and_phase() -> None:
    found = planted_findings()
    assert (found.status, found.leading) == ("decided", "planted")
    explanation = found.explanations[0]
    cells = 4 / (PHASE_BINS * len(explanation.rows))
    assert planted_share(explanation) > 10 * cells
    top = explanation.highlights[0]
    assert (top.joint, top.side, top.channel) == ("knee", "left", "knee_flexion_left")
    assert PLANTED_PHASE[0] * 100 - 5 <= top.from_percent < top.to_percent <= PLANTED_PHASE[1] * 100 + 5
    assert top.deviation == pytest.approx(PLANTED_DEGREES, abs=12)
    assert top.ci95 is not None
    assert 0.0 < top.ci95[0] < top.contribution < top.ci95[1]
    assert explanation.rescaled is not None
    assert (explanation.rescaled.joint, explanation.rescaled.side) == ("knee", "left")
    assert explanation.residual < 0.01
    assert explanation.deletion is not None
    assert explanation.deletion.marked_drop > 3 * abs(explanation.deletion.random_drop)


def test_the_heatmap_lies_over_the_mean_curves_of_this_walk_and_of_the_reference() -> None:
    explanation = planted_findings().explanations[0]
    knee = next(row.curve for row in explanation.rows if (row.joint, row.side) == ("knee", "left"))
    assert knee is not None
    assert (knee.channel, knee.unit) == ("knee_flexion_left", "deg")
    bins = range(PHASE_BINS)
    planted_at = [number for number in bins if PLANTED_PHASE[0] <= number / PHASE_BINS < PLANTED_PHASE[1]]
    away = {number: (knee.walk[number] or 0.0) - (knee.reference[number] or 0.0) for number in bins}
    inside = np.mean([away[number] for number in planted_at])
    assert inside == pytest.approx(PLANTED_DEGREES, abs=10)
    assert abs(np.mean([away[number] for number in bins if number not in planted_at])) < 10
    left, right, trunk = (str(chart) for chart in heatmap_charts(explanation, {"left": 62.0, "right": 62.0}))
    assert left.count('class="walked"') == sum(row.side == "left" for row in explanation.rows)
    assert left.count('class="healthy"') == left.count('class="walked"')
    assert explanation.rescaled is not None
    assert "left knee, 65–70 %: log-odds" in left.lower()
    assert "; knee flexion " in left
    # A tenth of all cells, by the rescaled map and nothing else.
    assert (left + right + trunk).count('class="relevant"') == round(0.1 * PHASE_BINS * len(explanation.rows))


def test_a_heatmap_that_was_kept_before_curves_were_is_still_shown() -> None:
    found = planted_findings()
    table = found.to_json()
    for row in table["explanations"][0]["rows"]:
        del row["curve"]
    older = findings_of(table)
    assert all(row.curve is None for row in older.explanations[0].rows)
    charts = heatmap_charts(older.explanations[0], {"left": None, "right": None})
    assert all('class="walked"' not in str(chart) and 'class="cell' in str(chart) for chart in charts)


def test_an_untrained_model_marks_the_planted_cell_no_more_than_chance_would() -> None:
    spec = dataclasses.replace(planted_model().spec, seed=5)
    walk = analysis_of(planted(walk_recording(SEED)))
    untrained = findings_on(walk, ModelBundle.initial(spec)).explanations[0]
    trained = planted_findings().explanations[0]
    assert planted_share(trained) > 3 * planted_share(untrained)


class Switch(torch.nn.Module):
    """Goes from one label to the other on a five-thousandth of the way to the reference walk."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        level = windows[..., INPUT.channels.index(PLANTED_CHANNEL)].mean(dim=1)
        odds = 12.0 * torch.tanh(5000.0 * (level + 0.03)) + level
        return torch.stack([-odds, odds], dim=1)


def test_contributions_add_up_even_where_the_model_switches_suddenly() -> None:
    recording = planted(walk_recording(SEED))
    starts_s, windows = placed_windows(recording.signals, INPUT)
    found = explain(Switch(), windows, starts_s, INPUT, recording.events, "usual", 0)
    assert found is not None
    assert abs(found.log_odds - found.reference_log_odds) > 5
    assert found.residual < 0.01


def test_without_the_planted_difference_the_model_says_so() -> None:
    found = findings_on(analysis_of(walk_recording(SEED)), planted_model())
    assert (found.status, found.leading) == ("decided", "usual")
    assert sum(item.probability for item in found.probabilities) == pytest.approx(1.0, abs=1e-5)


def test_a_short_walk_is_withheld_and_not_guessed() -> None:
    recording = walk_recording(SEED)
    keep = recording.signals.time_s < INPUT.window_s + (FEWEST_WINDOWS - 2) * INPUT.hop_s
    signals = dataclasses.replace(
        recording.signals, time_s=recording.signals.time_s[keep], values=recording.signals.values[keep]
    )
    found = findings_on(analysis_of(dataclasses.replace(recording, signals=signals)), planted_model())
    assert found.status == "withheld"
    assert [reason.code for reason in found.reasons] == ["too-few-windows"]
    assert not found.probabilities
    assert found.leading is None


def test_windows_that_disagree_give_no_label() -> None:
    recording = walk_recording(SEED)
    half = recording.signals.time_s > 6.0
    values = np.where(half[:, None], planted(recording).signals.values, recording.signals.values)
    mixed = dataclasses.replace(recording, signals=dataclasses.replace(recording.signals, values=values))
    found = findings_on(analysis_of(mixed), planted_model())
    assert found.status == "undecided"
    assert found.leading is None
    assert found.reasons
    assert len(found.probabilities) == 2


def test_a_walk_unlike_any_other_is_not_labelled() -> None:
    recording = walk_recording(SEED)
    values = recording.signals.values * 40.0
    strange = dataclasses.replace(recording, signals=dataclasses.replace(recording.signals, values=values))
    found = findings_on(analysis_of(strange), planted_model())
    assert found.leading is None
    assert "unfamiliar-walk" in {reason.code for reason in found.reasons}


def test_findings_are_json_without_nan() -> None:
    found = findings_on(analysis_of(walk_recording(SEED)), planted_model())
    table = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert table["model"]["version"] == "7"
    assert len(table["explanations"][0]["rows"][0]["contribution"]) == PHASE_BINS


def strikes(times: list[float], side: str = "left") -> list[GaitEvent]:
    return [GaitEvent(time, side, "foot_strike", 1.0) for time in times]  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(
    stride=st.floats(0.7, 2.0),
    number=st.integers(2, 8),
    times=st.lists(st.floats(-3.0, 20.0), min_size=1, max_size=40),
)
def test_phases_lie_in_the_cycle_that_holds_the_time(stride: float, number: int, times: list[float]) -> None:
    marks = [1.0 + stride * index for index in range(number)]
    at = np.array(times)
    found = side_phases(at, strikes(marks), "left")
    inside = (at >= marks[0]) & (at < marks[-1])
    assert np.array_equal(found.cycle >= 0, inside)
    assert np.all((found.phase[inside] >= 0.0) & (found.phase[inside] < 1.0))
    assert np.allclose(marks[0] + (found.cycle[inside] + found.phase[inside]) * stride, at[inside])


def test_a_missed_strike_makes_no_cycle() -> None:
    found = side_phases(np.array([1.5, 3.5, 5.5]), strikes([1.0, 2.0, 3.0, 5.0, 6.0]), "left")
    assert found.cycle.tolist() == [0, -1, 2]


@settings(deadline=None, max_examples=20)
@given(value=st.floats(-5.0, 5.0), number=st.integers(1, 4))
def test_a_constant_attribution_gives_a_flat_heatmap_that_adds_up_to_a_cycle(value: float, number: int) -> None:
    rate, stride = 40.0, 1.0
    times = np.arange(number * 40)[None, :] / rate
    phases = {
        "left": side_phases(times, strikes([float(index) for index in range(number + 1)]), "left"),
        "right": side_phases(times, strikes([float(index) for index in range(number + 1)], "right"), "right"),
    }
    placement = place(INPUT.channels, phases, rate)
    rows = heatmap(np.full((1, times.shape[1], len(INPUT.channels)), value), placement)
    for index, row in enumerate(rows):
        channels = int(np.count_nonzero(placement.row_of_channel == index))
        assert np.allclose(row.contribution, row.contribution[0])
        assert sum(row.contribution) == pytest.approx(value * channels * rate * stride, abs=1e-6)


def test_a_stretch_is_said_to_lie_where_all_of_it_lies() -> None:
    def told(begin: float, end: float) -> str:
        marked = Highlight("knee", "left", begin, end, 0.2, 0.3, "knee_flexion_left", -10.0, "deg", None)
        return _sentence(marked, {"left": 62.0})

    assert "70 to 85 % of the cycle, in swing:" in told(70.0, 85.0)
    assert "20 to 60 % of the cycle, in stance:" in told(20.0, 60.0)
    assert "55 to 80 % of the cycle, in stance and swing:" in told(55.0, 80.0)
    assert "90 % over the foot strike to 20 % of the cycle, in stance and swing:" in told(90.0, 20.0)
    assert "85 to 100 % of the cycle, in swing:" in told(85.0, 100.0)
    assert told(55.0, 50.0).startswith("Left knee, nearly all of the cycle: ")
