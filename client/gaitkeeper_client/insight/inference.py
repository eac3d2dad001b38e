"""The deployed model on one analysed walk: probabilities, an explanation, and when to say nothing.

The rules for saying nothing are simple and fixed, so that a clinician can know them:

- ``too-few-windows``: fewer windows of walking than :func:`fewest_windows` wants; nothing is said.
- ``channels-missing``, ``series-missing``: the recording is of another kind than the model reads; nothing is said.
- ``nothing-measured``: the model reads measurements, and none could be taken; nothing is said.
- ``windows-disagree``: fewer than :data:`LEAST_AGREEMENT` of the windows have the leading label on top.
- ``strides-disagree``: fewer than :data:`LEAST_DRAWN_AGREEMENT` of the drawings of the strides have it on top.
- ``not-certain-enough``: the leading label's mean probability is below the study's ``task.certain_from``.
- ``no-clear-label``: the leading label's mean probability is less than :data:`LEAST_MARGIN` above the next one.
- ``unfamiliar-walk``: more than :data:`MOST_OUTSIDE` of all values lie further from the channel's centre than
  :data:`OUTSIDE_SPREADS` times its published half-range, or :data:`MOST_LIMITED` or more of the model's measurements of
  its strides stand at an end of their scale: the model has learned from walks that do not look like this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Reason
from gaitkeeper_client.insight.findings import (
    Explanation,
    Findings,
    LabelProbability,
    MeasuredExplanation,
    ModelCard,
    Spread,
    StudyFacts,
)
from gaitkeeper_client.insight.limits import limits_of
from gaitkeeper_client.insight.reference import has_reference
from gaitkeeper_client.insight.windows import FEWEST_WINDOWS, too_little, walk_windows
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.recording import Recording

if TYPE_CHECKING:
    from gaitkeeper_client.insight.measured import Measured
    from gaitkeeper_shared.models.registry import GaitModel
    from gaitkeeper_shared.trust.release import Validation

__all__ = ["FEWEST_WINDOWS", "card_of", "judge", "limits_of"]

LEAST_AGREEMENT = 0.6
LEAST_DRAWN_AGREEMENT = 0.8
"""More than of windows, each of which is a part of the walk: a drawing is as long as the walk itself."""
LEAST_MARGIN = 0.1
MOST_OUTSIDE = 0.2
MOST_LIMITED = 0.5
OUTSIDE_SPREADS = 3.0
RAISED = 1.0 / 3.0
"""Beside the leading label, labels with at least this mean probability are explained too."""


def card_of(
    bundle: ModelBundle,
    version: str,
    *,
    sha256: str = "",
    created_at: str = "",
    notes: str = "",
    study: StudyFacts | None = None,
    personal_people: int = 0,
    validation: Validation | None = None,
) -> ModelCard:
    """What a report says about a model, from its bundle and its release."""
    spec = bundle.spec
    return ModelCard(
        version=version,
        kind=spec.kind,
        study_hash=spec.study_hash,
        labels=spec.labels,
        channels=spec.input.channels,
        window_s=spec.input.window_s,
        rate_hz=spec.input.rate_hz,
        sha256=sha256,
        created_at=created_at,
        notes=notes,
        study=study,
        calibrated=spec.calibrated,
        certain_from=spec.certain_from,
        values=spec.values,
        personal_people=personal_people,
        validation=validation,
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """The windows that are judged: (N,) starts, (N, T, C) windows, and what the model measures of them, if it does."""

    starts_s: FloatArray
    windows: Float32Array
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class _Scores:
    """(N, L) probabilities, the (2, L) range of their means or None, and how far the leading label is agreed on."""

    per_window: FloatArray
    span: FloatArray | None
    spread: Spread
    agreement: float | None

    @property
    def mean(self) -> FloatArray:
        """(L,) mean over windows."""
        mean: FloatArray = self.per_window.mean(axis=0)
        return mean


def judge(analysis: Analysis, bundle: ModelBundle, card: ModelCard) -> Findings:
    """The model's findings on an analysed walk; for a refused analysis they are withheld with its reasons."""
    limits, recording = limits_of(card), analysis.recording
    if analysis.status != "analysed" or recording is None:
        return Findings("withheld", card, reasons=analysis.reasons, limits=limits)
    starts_s, windows = walk_windows(recording, bundle.spec.input)
    count = windows.shape[0]
    if (why := too_little(recording, bundle.spec.input, count)) is not None:
        return Findings("withheld", card, windows=count, reasons=(why,), limits=limits)
    model = bundle.module()
    walk = _measured_walk(model, bundle, recording, _Walk(starts_s, windows, None))
    if walk is None:
        return Findings("withheld", card, windows=count, reasons=(_nothing_measured(model),), limits=limits)
    scores = _scores(model, bundle, walk)
    if card.values:
        return _severity_findings(scores, walk, card)
    doubts = _doubts(scores, walk, card)
    explanations, measured = _explanations(model, bundle, recording, walk, scores.mean)
    return Findings(
        status="undecided" if doubts else "decided",
        model=card,
        windows=walk.windows.shape[0],
        probabilities=_probabilities(scores, card.labels),
        leading=None if doubts else card.labels[int(scores.mean.argmax())],
        agreement=scores.agreement,
        reasons=doubts,
        explanations=explanations,
        limits=limits,
        spread=scores.spread,
        measured=measured,
        unexplained=None if explanations or measured else _unexplained(bundle),
    )


def _measured_walk(model: GaitModel, bundle: ModelBundle, recording: Recording, walk: _Walk) -> _Walk | None:
    """The walk with what the model measures, without windows of which it measures nothing; None if that is all."""
    from gaitkeeper_client.insight.measured import measure

    measured = measure(model, walk.windows, walk.starts_s, bundle.spec.input, recording.events)
    if measured is None:
        return walk
    useful = measured.known.any(axis=1)
    if not useful.any():
        return None
    if useful.all():
        return _Walk(walk.starts_s, walk.windows, measured)
    kept = _Walk(walk.starts_s[useful], walk.windows[useful], None)
    return _measured_walk(model, bundle, recording, kept)


def _nothing_measured(model: GaitModel) -> Reason:
    names = ", ".join(measure.name for measure in model.encoder.measures)
    message = say("reasons.nothing_measured", names=names)
    return Reason("nothing-measured", message)


def _scores(model: GaitModel, bundle: ModelBundle, walk: _Walk) -> _Scores:
    from gaitkeeper_client.insight.measured import QUANTILES, drawn_probabilities

    per_window = bundle.predict(walk.windows).astype(np.float64)
    leading = int(per_window.mean(axis=0).argmax())
    drawn = None if walk.measured is None else drawn_probabilities(model, walk.measured)
    if drawn is not None:
        # Windows of minutes overlap: the mean of their ends, as if they were one, and not that of their drawings.
        span = np.quantile(drawn, QUANTILES, axis=0).mean(axis=1)
        return _Scores(per_window, span, "strides", float(np.mean(drawn.argmax(axis=2) == leading)))
    if per_window.shape[0] == 1:
        return _Scores(per_window, None, "none", None)
    span = np.stack([per_window.min(axis=0), per_window.max(axis=0)])
    return _Scores(per_window, span, "windows", float(np.mean(per_window.argmax(axis=1) == leading)))


def _probabilities(scores: _Scores, labels: tuple[str, ...]) -> tuple[LabelProbability, ...]:
    span = scores.span
    table = [
        LabelProbability(
            label,
            float(scores.mean[index]),
            None if span is None else float(span[0, index]),
            None if span is None else float(span[1, index]),
        )
        for index, label in enumerate(labels)
    ]
    return tuple(sorted(table, key=lambda item: -item.probability))


def _severity_findings(scores: _Scores, walk: _Walk, card: ModelCard) -> Findings:
    from gaitkeeper_client.insight.severity import estimated, unclear

    found = estimated(card, scores.per_window, scores.span)
    doubts = tuple(doubt for doubt in (unclear(found), _unfamiliar(walk)) if doubt is not None)
    return Findings(
        status="undecided" if doubts else "decided",
        model=card,
        windows=walk.windows.shape[0],
        reasons=doubts,
        limits=limits_of(card),
        spread=scores.spread,
        unexplained=Reason("severity-unexplained", say("reasons.severity_unexplained")),
        severity=found,
    )


def _doubts(scores: _Scores, walk: _Walk, card: ModelCard) -> tuple[Reason, ...]:
    mean, labels = scores.mean, card.labels
    second, first = (int(index) for index in np.argsort(mean)[-2:])
    doubts = [_disagreement(scores)]
    if mean[first] < card.certain_from:
        message = say("reasons.not_certain", labels=labels[first], mean=mean[first], certain_from=card.certain_from)
        doubts.append(Reason("not-certain-enough", message))
    elif mean[first] - mean[second] < LEAST_MARGIN:
        message = say(
            "reasons.no_label",
            labels=labels[first],
            mean=mean[first],
            labels_2=labels[second],
            mean_2=mean[second],
            least_margin=LEAST_MARGIN * 100,
        )
        doubts.append(Reason("no-clear-label", message))
    doubts.append(_unfamiliar(walk))
    return tuple(doubt for doubt in doubts if doubt is not None)


def _disagreement(scores: _Scores) -> Reason | None:
    agreement = scores.agreement
    if agreement is None:
        return None
    if scores.spread == "strides" and agreement < LEAST_DRAWN_AGREEMENT:
        message = say("reasons.strides_disagree", agreement=agreement, least_drawn_agreement=LEAST_DRAWN_AGREEMENT)
        return Reason("strides-disagree", message)
    if scores.spread == "windows" and agreement < LEAST_AGREEMENT:
        message = say("reasons.windows_disagree", agreement=agreement, least_agreement=LEAST_AGREEMENT)
        return Reason("windows-disagree", message)
    return None


def _unfamiliar(walk: _Walk) -> Reason | None:
    outside = float(np.mean(np.abs(walk.windows) > OUTSIDE_SPREADS))
    if outside > MOST_OUTSIDE:
        message = say("reasons.unfamiliar", outside=outside)
        return Reason("unfamiliar-walk", message)
    # Measurements of strides alone: one of symmetry is at its end in anybody who favours a leg.
    if walk.measured is not None and walk.measured.drawn is not None:
        ends = np.array([one.limit for one in walk.measured.measures])
        limited = float(np.mean(np.abs(walk.measured.features) >= ends * (1.0 - 1e-5)))
        if limited >= MOST_LIMITED:
            message = say("reasons.unfamiliar_measures", limited=limited)
            return Reason("unfamiliar-walk", message)
    return None


def _explanations(
    model: GaitModel, bundle: ModelBundle, recording: Recording, walk: _Walk, mean: FloatArray
) -> tuple[tuple[Explanation, ...], tuple[MeasuredExplanation, ...]]:
    """By joint and gait phase, where samples can be followed and compared; by measurements, where there are such."""
    from gaitkeeper_client.insight.explanation import explain
    from gaitkeeper_client.insight.measured import explain_measures

    spec = bundle.spec
    order = [int(index) for index in np.argsort(-mean)]
    # With two labels the second explanation is the first with its signs changed.
    raised = [order[0], *(index for index in order[1:] if len(order) > 2 and mean[index] >= RAISED)]
    measured = walk.measured
    by_measure = () if measured is None else (explain_measures(model, measured, spec.labels[i], i) for i in raised)
    if not (model.encoder.differentiable and has_reference(spec.input.channels)):
        return (), tuple(by_measure)
    by_phase = (
        explain(model, walk.windows, walk.starts_s, spec.input, recording.events, spec.labels[index], index)
        for index in raised
    )
    return tuple(item for item in by_phase if item is not None), tuple(by_measure)


def _unexplained(bundle: ModelBundle) -> Reason:
    if not has_reference(bundle.spec.input.channels):
        message = say("reasons.no_reference")
        return Reason("no-reference-walk", message)
    message = say("reasons.no_cycle")
    return Reason("no-complete-cycle", message)
