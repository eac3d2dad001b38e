"""Findings that know how sure they may be: the study's own threshold, calibrated scores, and severities."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from insight_fixtures import analysis_of, walk_recording

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings, findings_of
from gaitkeeper_client.insight.findings_view import findings_view
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_client.insight.severity import estimated, unclear
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Input

CHANNELS = ("hip_flexion_left", "hip_flexion_right", "pelvis_speed")


@pytest.fixture(scope="module")
def walk() -> Analysis:
    return analysis_of(walk_recording(42))


def told(analysis: Analysis, bundle: ModelBundle) -> Findings:
    return judge(analysis, bundle, card_of(bundle, "7"))


def symmetry_model(labels: tuple[str, ...], values: tuple[float, ...], shift: float, slope: float) -> ModelBundle:
    window = Input(channels=CHANNELS, rate_hz=30.0, window_s=2.5, hop_s=0.5, max_windows=8)
    spec = ModelSpec("symmetry", 1, 1, 0, "all", window, labels, "0" * 64, values=values)
    weights = {name: np.zeros_like(array) for name, array in ModelBundle.initial(spec).weights.items()}
    weights["head.weight"][-1], weights["head.bias"][-1] = slope, shift
    return ModelBundle(spec, weights)


def severity_model(shift: float, slope: float) -> ModelBundle:
    return symmetry_model(("none", "mild", "severe"), (0.0, 1.0, 4.0), shift, slope)


def test_a_label_below_the_studys_threshold_is_not_named(walk: Analysis) -> None:
    plain = symmetry_model(("healthy", "ill"), (), 1.0, 0.2)
    before = told(walk, plain)
    assert before.leading is not None
    top = before.probabilities[0].probability
    for least, status in ((top - 1e-4, "decided"), (top + 1e-4, "undecided")):
        spec = dataclasses.replace(plain.spec, certain_from=least, calibrated=True)
        found = told(walk, ModelBundle(spec, plain.weights))
        assert found.status == status
        assert (found.leading is None) == (status == "undecided")
        assert ("not-certain-enough" in {reason.code for reason in found.reasons}) == (status == "undecided")
        assert any("fitted, under the same privacy" in limit for limit in found.limits)
    assert any("not been calibrated" in limit for limit in before.limits)


def test_a_severity_is_told_with_its_range_and_never_beyond_its_scale(walk: Analysis) -> None:
    found = told(walk, severity_model(-0.5, 0.0))
    assert found.status == "decided"
    assert found.severity is not None
    assert found.severity.value == pytest.approx(1.0)
    assert found.severity.grade == "mild"
    assert found.severity.lowest == pytest.approx(1.0)
    assert findings_view(found, ()).verdict.startswith("The model estimates a severity of 1.0 on a scale from 0 to 4")
    assert findings_of(found.to_json()) == found
    beyond = told(walk, severity_model(9.0, 0.0)).severity
    assert beyond is not None
    assert (beyond.value, beyond.grade) == (4.0, "severe")


def test_a_severity_that_ranges_over_more_than_half_its_scale_is_unclear(walk: Analysis) -> None:
    card = card_of(severity_model(0.0, 0.0), "7")
    told_of_windows = np.array([[1.0], [2.0]])
    for high, clear in ((2.9, True), (3.1, False), (None, True)):
        span = None if high is None else np.array([[1.0], [high]])
        assert (unclear(estimated(card, told_of_windows, span)) is None) == clear
    found = told(walk, severity_model(-0.5, 0.3))
    assert found.severity is not None
    assert found.severity.lowest is not None
    assert found.severity.highest is not None
    assert found.severity.lowest < found.severity.value < found.severity.highest
