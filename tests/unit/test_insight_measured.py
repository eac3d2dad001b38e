"""Models that read measurements of a walk: judged on one long window, explained by what each measurement adds."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from insight_fixtures import INPUT, analysis_of, planted, walk_recording

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.forces import analyse_forces
from gaitkeeper_client.insight.findings import Findings, StudyFacts
from gaitkeeper_client.insight.findings_view import findings_view, range_text
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.insight.windows import FEWEST_WINDOWS, LONG_WINDOW_S, fewest_windows
from gaitkeeper_client.lab.footforce import FORCE_CHANNELS, FootForces
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.strides import FEATURES, LIMIT, resampled_features, scaled_features
from gaitkeeper_shared.models.windows import cut_windows
from gaitkeeper_shared.recording import JointTrajectories, Recording
from gaitkeeper_shared.skeleton import JOINTS
from gaitkeeper_shared.study import Input

RATE = 100.0
WINDOW = Input(channels=FORCE_CHANNELS, rate_hz=RATE, window_s=100.0, hop_s=20.0, max_windows=2)
TWO = ("healthy", "patient")
FOUR = ("healthy", "parkinson", "huntington", "als")
WEIGHTS = np.array([0.4, 1.2, 0.7, -0.3], dtype=np.float32)


def feet(stride_s: FloatArray, swing: FloatArray, shift_s: float) -> FloatArray:
    """(T,) load of a foot whose strides last ``stride_s`` and end in swings of these shares."""
    strikes = shift_s + np.concatenate([[0.0], np.cumsum(stride_s)])
    offs = strikes[1:] - stride_s * swing
    corners = np.stack([strikes[:-1], strikes[:-1] + 0.04, offs - 0.04, offs], axis=1).ravel()
    levels = np.tile([0.0, 1.0, 1.0, 0.0], stride_s.size)
    return np.interp(np.arange(0.0, strikes[-1], 1.0 / RATE), corners, levels)


@cache
def force_walk(seconds: float = 130.0, variability: float = 0.06, stride_s: float = 1.2, seed: int = 0) -> Analysis:
    """Foot forces of somebody whose stride times vary by that share; without parameters, which no model reads."""
    forces = force_series(seconds, variability, stride_s, seed)
    unknown = JointTrajectories(np.empty(0), np.empty((0, len(JOINTS), 3)), "m", np.empty((0, len(JOINTS))))
    return analysis_of(Recording(unknown, forces.events(), forces.signals(), {"kind": "test"}, {}))


def force_series(seconds: float, variability: float, stride_s: float, seed: int) -> FootForces:
    """The series of :func:`force_walk`."""
    random = np.random.default_rng(seed)
    count = int(seconds / stride_s) + 4
    strides = stride_s * (1.0 + variability * np.clip(random.normal(size=count), -2.0, 2.0))
    swing = 0.36 + 0.015 * np.clip(random.normal(size=count), -2.0, 2.0)
    columns = [feet(strides, swing, shift)[: int(seconds * RATE)] for shift in (0.3, 0.3 + 0.5 * stride_s)]
    force = np.stack(columns, axis=1)
    return FootForces(np.arange(force.shape[0]) / RATE, force, "raw")


def strides_model(labels: tuple[str, ...] = TWO, window: Input = WINDOW, features: int = 0) -> ModelBundle:
    """A head with known weights over the stride features."""
    spec = ModelSpec("strides", 1, 1, 3, "head" if features else "all", window, labels, "0" * 64, features=features)
    bundle = ModelBundle.initial(spec)
    if features:
        return bundle
    rows = [WEIGHTS * (0.5 if number else -0.5) * (1 + number // 2) for number in range(len(labels))]
    bias = np.linspace(0.2, -0.2, len(labels), dtype=np.float32)
    return ModelBundle(spec, {**bundle.weights, "head.weight": np.array(rows), "head.bias": bias})


def findings_on(analysis: Analysis, bundle: ModelBundle) -> Findings:
    return judge(analysis, bundle, card_of(bundle, "4", study=StudyFacts("forces", "Foot force")))


def test_a_series_of_forces_becomes_a_finding_and_a_report() -> None:
    analysis = analyse_forces(force_series(110.0, 0.06, 1.2, 0), source={"kind": "test"})
    found = findings_on(analysis, strides_model())
    assert (found.status, found.leading, found.windows) == ("decided", "patient", 1)
    page = render_report(analysis, found)
    assert "The model proposes “patient”" in page
    assert "Stride time variability" in page
    assert "nan" not in page.lower()


def test_one_window_of_minutes_is_judged_with_the_interval_of_its_strides() -> None:
    found = findings_on(force_walk(110.0), strides_model())
    assert (found.status, found.leading, found.windows) == ("decided", "patient", 1)
    assert (found.spread, found.reasons) == ("strides", ())
    assert found.agreement is not None
    assert found.agreement > 0.9
    for item in found.probabilities:
        assert item.lowest is not None
        assert item.highest is not None
        assert 0.0 < item.lowest < item.probability < item.highest < 1.0


def test_a_linear_head_is_explained_by_weight_times_value_exactly() -> None:
    found = findings_on(force_walk(), strides_model())
    assert not found.explanations
    assert found.unexplained is None
    (explained,) = found.measured
    assert (explained.label, explained.reference, explained.linear) == ("patient", "scale", True)
    table = {item.name: item for item in explained.contributions}
    assert list(table) == sorted(table, key=lambda name: -abs(table[name].contribution))
    for feature, weight in zip(FEATURES, WEIGHTS, strict=True):
        item = table[feature.name]
        assert item.value is not None
        # Two overlapping windows: the mean of their values is all but the value of the mean feature.
        assert item.contribution == pytest.approx(weight * feature.scaled(item.value), abs=0.01), feature.name
    assert sum(item.share for item in explained.contributions) == pytest.approx(1.0)
    assert explained.residual < 1e-4
    added = sum(item.contribution for item in explained.contributions)
    assert explained.reference_log_odds + added == pytest.approx(explained.log_odds, abs=1e-4)
    assert explained.reference_log_odds == pytest.approx(-0.4, abs=1e-5)


def test_measured_values_are_those_of_the_walk() -> None:
    (explained,) = findings_on(force_walk(), strides_model()).measured
    table = {item.name: item for item in explained.contributions}
    stride = table["stride_time"]
    assert stride.value == pytest.approx(1.2, abs=0.03)
    assert stride.ci95 is not None
    assert stride.ci95[0] < 1.2 < stride.ci95[1]
    assert stride.reference == pytest.approx(1.1)
    assert table["stride_time_variability"].value == pytest.approx(0.053, abs=0.012)
    assert table["swing_share"].unit == "share"
    assert not any(item.limited for item in explained.contributions)


@pytest.mark.parametrize(("labels", "features"), [(FOUR, 0), (TWO, 3)])
def test_a_head_that_is_not_linear_adds_up_too(labels: tuple[str, ...], features: int) -> None:
    found = findings_on(force_walk(), strides_model(labels, features=features))
    assert found.measured
    for explained in found.measured:
        assert not explained.linear
        assert [item.name for item in explained.contributions] != []
        assert explained.residual < 0.02
        added = sum(item.contribution for item in explained.contributions)
        assert explained.reference_log_odds + added == pytest.approx(explained.log_odds, abs=0.02)


def test_explanation_and_report_speak_in_the_models_names_without_a_heatmap() -> None:
    found = findings_on(force_walk(), strides_model())
    view = findings_view(found, ())
    assert any("stride_time_variability" in text and "above the middle" in text for text in view.measured[0].sentences)
    page = render_report(force_walk(), found)
    assert "by what the model measures" in page
    assert "by joint and gait phase" not in page
    assert "from a reference walk" not in page
    assert "the load under both feet only" in page
    assert "95 % interval over drawings" in page
    assert "nan" not in page.lower()
    assert "95 % interval" in range_text(found, found.probabilities[0])
    table = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert table["measured"][0]["contributions"][0]["name"] in {feature.name for feature in FEATURES}


def test_a_walk_near_the_line_is_undecided() -> None:
    bundle = strides_model()
    (explained,) = findings_on(force_walk(), bundle).measured
    shift = np.array([0.5, -0.5], dtype=np.float32) * np.float32(explained.log_odds)
    moved = ModelBundle(bundle.spec, {**bundle.weights, "head.bias": bundle.weights["head.bias"] + shift})
    found = findings_on(force_walk(), moved)
    assert (found.status, found.leading) == ("undecided", None)
    assert {"strides-disagree", "no-clear-label"} <= {reason.code for reason in found.reasons}
    assert found.measured


def test_what_is_too_little_is_told_by_its_own_reason() -> None:
    short = findings_on(force_walk(60.0), strides_model())
    assert [reason.code for reason in short.reasons] == ["too-few-windows"]
    assert "record at least 100 s" in short.reasons[0].message
    joints = findings_on(analysis_of(walk_recording(1)), strides_model())
    assert [reason.code for reason in joints.reasons] == ["channels-missing"]
    force = findings_on(force_walk(), ModelBundle.initial(ModelSpec("lstm", 4, 1, 0, "all", INPUT, TWO, "0" * 64)))
    assert [reason.code for reason in force.reasons] == ["channels-missing"]
    recording = force_walk().recording
    assert recording is not None
    empty = dataclasses.replace(recording.signals, time_s=np.empty(0), values=np.empty((0, 2), dtype=np.float32))
    times = findings_on(analysis_of(dataclasses.replace(recording, signals=empty)), strides_model())
    assert [reason.code for reason in times.reasons] == ["series-missing"]
    for found in (short, joints, force, times):
        assert (found.status, found.probabilities, found.measured) == ("withheld", (), ())


def test_nothing_measured_is_withheld_and_not_the_models_prejudice() -> None:
    recording = force_walk().recording
    assert recording is not None
    still = dataclasses.replace(recording.signals, values=np.ones_like(recording.signals.values))
    found = findings_on(analysis_of(dataclasses.replace(recording, signals=still)), strides_model())
    assert (found.status, [reason.code for reason in found.reasons]) == ("withheld", ["nothing-measured"])
    assert not found.probabilities


def test_a_walk_beyond_the_scales_is_unfamiliar() -> None:
    found = findings_on(force_walk(130.0, 0.28, 1.9), strides_model())
    assert found.leading is None
    assert "unfamiliar-walk" in {reason.code for reason in found.reasons}
    (explained,) = found.measured
    assert any(item.limited for item in explained.contributions)
    assert any("may lie beyond" in note for row in findings_view(found, ()).measured[0].rows for note in row.notes)


def test_a_long_window_of_learned_features_says_that_nothing_is_known_of_its_spread() -> None:
    spec = ModelSpec("lstm", 4, 1, 0, "all", WINDOW, TWO, "0" * 64)
    bundle = ModelBundle.initial(spec)
    weights = {**bundle.weights, "head.bias": np.array([2.0, -2.0], dtype=np.float32)}
    found = findings_on(force_walk(110.0), ModelBundle(spec, weights))
    assert (found.status, found.spread, found.agreement) == ("decided", "none", None)
    assert all(item.lowest is None and item.highest is None for item in found.probabilities)
    assert not found.explanations
    assert not found.measured
    assert found.unexplained is not None
    page = render_report(force_walk(110.0), found)
    assert "There is no interval." in page
    assert "There is no explanation" in page
    assert "no range" in range_text(found, found.probabilities[0])


def test_how_many_windows_are_needed_follows_from_their_length() -> None:
    assert fewest_windows(INPUT) == FEWEST_WINDOWS
    assert fewest_windows(dataclasses.replace(INPUT, window_s=LONG_WINDOW_S)) == 1


def test_a_study_of_one_short_window_a_patient_is_still_judged_on_three() -> None:
    window = dataclasses.replace(INPUT, max_windows=1)
    bundle = ModelBundle.initial(ModelSpec("lstm", 4, 1, 0, "all", window, TWO, "0" * 64))
    assert findings_on(analysis_of(walk_recording(1)), bundle).windows == FEWEST_WINDOWS


@pytest.mark.parametrize("features", [0, 4])
def test_symmetry_is_explained_against_the_reference_walk(features: int) -> None:
    spec = ModelSpec("symmetry", 1, 1, 2, "head", INPUT, ("usual", "other"), "0" * 64, features=features)
    bundle = ModelBundle.initial(spec)
    if not features:
        places = build(spec).encoder.measures
        column = [place.name for place in places].index("knee_flexion_difference")
        head = np.zeros((2, len(places)), dtype=np.float32)
        head[1, column] = 6.0
        bundle = ModelBundle(spec, {**bundle.weights, "head.weight": head})
    found = findings_on(analysis_of(planted(walk_recording(42))), bundle)
    assert found.explanations
    explained = found.measured[0]
    assert (explained.reference, explained.linear) == ("walk", features == 0)
    assert explained.residual < 0.01
    assert explained.log_odds == pytest.approx(found.explanations[0].log_odds, abs=1e-5)
    assert explained.reference_log_odds == pytest.approx(found.explanations[0].reference_log_odds, abs=1e-5)
    table = {item.name: item for item in explained.contributions}
    knee = table["knee_flexion_difference"]
    assert knee.value is not None
    # A fifth of the cycle bent less by 25 degrees is a difference of means of about five.
    assert knee.value == pytest.approx(5.0, abs=2.0)
    assert knee.reference < 1.0
    assert (knee.unit, knee.ci95) == ("deg", None)
    if not features:
        assert found.leading == "other"
        assert explained.contributions[0].name == "knee_flexion_difference"
        assert knee.share == pytest.approx(1.0)
        text = findings_view(found, ()).measured[0].sentences[0]
        assert text.startswith("Knee flexion, left and right")
        assert "knee_flexion_difference" in text


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["symmetry", "strides"]), features=st.sampled_from([0, 3]))
def test_measures_are_what_the_head_reads(seed: int, kind: str, features: int) -> None:
    window = INPUT if kind == "symmetry" else dataclasses.replace(WINDOW, window_s=20.0)
    model = build(ModelSpec(kind, 1, 1, seed, "head", window, TWO, "0" * 64, features=features)).eval()
    samples = torch.from_numpy(
        np.random.default_rng(seed).normal(size=(2, window.window_samples, len(window.channels))).astype(np.float32)
    )
    measured = model.encoder.measured(samples)
    assert measured.shape == (2, len(model.encoder.measures))
    assert torch.allclose(model.encoder.features_of(measured), model.encoder(samples))


def test_drawn_strides_spread_less_the_more_there_are_and_lie_around_the_walks_own() -> None:
    widths = []
    for seconds in (100.0, 400.0):
        recording = force_walk(seconds).recording
        assert recording is not None
        window = dataclasses.replace(WINDOW, window_s=seconds - 10.0)
        values = cut_windows(recording.signals, window)[0]
        drawn = resampled_features(values, RATE, 100, 0)
        assert np.array_equal(drawn, resampled_features(values, RATE, 100, 0))
        own = np.array(scaled_features(values, RATE))
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
        assert np.all((low <= own) & (own <= high))
        assert np.all(np.abs(drawn) <= LIMIT)
        widths.append(high - low)
    assert np.all(widths[1] < 0.8 * widths[0])
    assert not resampled_features(np.zeros((2_000, 2), dtype=np.float32), RATE, 3, 0).any()


def test_a_measure_reads_back_what_its_feature_was_made_from() -> None:
    model = build(ModelSpec("strides", 1, 1, 0, "all", WINDOW, TWO, "0" * 64))
    for one, value in zip(model.encoder.measures, (1.31, 0.05, 0.02, 0.34), strict=True):
        feature = next(item for item in FEATURES if item.name == one.name)
        assert one.value(feature.scaled(value)) == pytest.approx(value)
        assert one.limited(feature.scaled(math.exp(9.0)))
        assert not one.limited(feature.scaled(value))
