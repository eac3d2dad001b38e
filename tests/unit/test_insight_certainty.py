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
from gaitkeeper_client.insight.limits import limits_of
from gaitkeeper_client.insight.severity import estimated, unclear
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Input
from gaitkeeper_shared.trust.release import Manifest, Validation

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


def test_a_report_says_on_whom_the_release_was_validated_and_not_more() -> None:
    card = card_of(severity_model(0.0, 0.0), "7")
    assert any("how often it is right is not known" in text for text in limits_of(card))
    told = dataclasses.replace(card, validation=Validation(3, 40, accuracy=0.8349))
    text = next(text for text in limits_of(told) if "validated" in text)
    assert "patients of 3 clinic(s)" in text
    assert "its 40 rounds 83% of them" in text
    assert "this site's" not in text
    graded = Validation(2, 10, mean_absolute_error=0.41, rank_correlation=0.62)
    own = dataclasses.replace(card, validation=graded, personal_people=4)
    text = next(text for text in limits_of(own) if "validated" in text)
    assert "off by 0.41" in text
    assert "rank correlation of 0.62" in text
    assert text.endswith("not with this site's.")


def test_a_manifest_carries_its_validation_and_one_from_before_is_still_whole() -> None:
    plain = Manifest(3, "walks", "a" * 64, "b" * 64, 10, "2026-05-04T09:00:00+00:00")
    assert b"validated" not in plain.to_bytes()  # the bytes of releases that were signed before stay what they were
    assert Manifest.from_bytes(plain.to_bytes()) == plain
    assert plain.validation is None
    found = Validation(3, 40, accuracy=0.8349)
    full = dataclasses.replace(plain, validated=found.lines())
    assert Manifest.from_bytes(full.to_bytes()).validation == found
    for lines in (("accuracy=0.8 people",), ("sites=3",), ("accuracy=nan", "sites=1"), ("praise=1",), ()):
        assert Validation.of(lines) is None
