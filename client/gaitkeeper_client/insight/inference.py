"""The deployed model on one analysed walk: probabilities over its windows, an explanation, and when to say nothing.

The rules for saying nothing are simple and fixed, so that a clinician can know them:

- ``too-few-windows``: fewer than :data:`FEWEST_WINDOWS` windows of walking; nothing is said.
- ``windows-disagree``: fewer than :data:`LEAST_AGREEMENT` of the windows have the leading label on top.
- ``no-clear-label``: the leading label's mean probability is less than :data:`LEAST_MARGIN` above the next one.
- ``unfamiliar-walk``: more than :data:`MOST_OUTSIDE` of all values lie further from the channel's centre than
  :data:`OUTSIDE_SPREADS` times its published half-range: the model has learned from walks that do not look like this.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.analysis import Analysis, Reason
from gaitkeeper_client.insight.findings import Explanation, Findings, LabelProbability, ModelCard, StudyFacts
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.windows import placed_windows
from gaitkeeper_shared.recording import Recording

FEWEST_WINDOWS = 3
LEAST_AGREEMENT = 0.6
LEAST_MARGIN = 0.1
MOST_OUTSIDE = 0.2
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
    )


def judge(analysis: Analysis, bundle: ModelBundle, card: ModelCard) -> Findings:
    """The model's findings on an analysed walk; for a refused analysis they are withheld with its reasons."""
    recording = analysis.recording
    if analysis.status != "analysed" or recording is None:
        return Findings("withheld", card, reasons=analysis.reasons, limits=limits_of(card))
    starts_s, windows = _windows(recording, bundle)
    count = windows.shape[0]
    if count < FEWEST_WINDOWS:
        message = (
            f"The walk gives {count} windows of {card.window_s:g} s and at least {FEWEST_WINDOWS} are needed to see "
            "whether the model agrees with itself. Record a longer walk."
        )
        reasons = (Reason("too-few-windows", message),)
        return Findings("withheld", card, windows=count, reasons=reasons, limits=limits_of(card))
    per_window = bundle.predict(windows).astype(np.float64)
    probabilities = _probabilities(per_window, card.labels)
    leading = int(per_window.mean(axis=0).argmax())
    agreement = float(np.mean(per_window.argmax(axis=1) == leading))
    doubts = _doubts(per_window, windows, card.labels, agreement)
    return Findings(
        status="undecided" if doubts else "decided",
        model=card,
        windows=count,
        probabilities=probabilities,
        leading=None if doubts else card.labels[leading],
        agreement=agreement,
        reasons=doubts,
        explanations=_explanations(bundle, recording, starts_s, windows, per_window.mean(axis=0)),
        limits=limits_of(card),
    )


def limits_of(card: ModelCard) -> tuple[str, ...]:
    """What every reader of a finding has to know; stated, never computed away."""
    labels = ", ".join(card.labels)
    study = card.study
    origin = "It was trained by a federation of clinics"
    if study is not None:
        clinics = f" with at least {study.fewest_sites} clinics in every round" if study.fewest_sites else ""
        origin = f"It was trained in the study “{study.title or study.name}”{clinics}"
    noise = "" if study is None or study.epsilon is None else f" (epsilon {study.epsilon:g}, delta {study.delta:g})"
    return (
        "This is not a diagnosis. The model proposes; a clinician decides.",
        f"The model can only choose among: {labels}. It has no label for anything else, and will fit another disorder "
        "to the nearest of these.",
        "A probability is the model's own score, averaged over overlapping windows of one walk. It has not been "
        "calibrated on this clinic's patients.",
        f"{origin}; how accurate it is for people unlike those of the study, for other cameras or for walking aids is "
        "unknown.",
        f"Noise was added in training to protect each patient{noise}; that costs accuracy.",
        "It sees sagittal joint angles and foot, hand and trunk movement only: no strength, tone, pain, sensation or "
        "history, and nothing of the frontal plane.",
    )


def _windows(recording: Recording, bundle: ModelBundle) -> tuple[FloatArray, Float32Array]:
    """The walk's windows with their starts, thinned as in training."""
    window = bundle.spec.input
    starts_s, windows = placed_windows(recording.signals, window)
    if windows.shape[0] > window.max_windows:
        picked = np.linspace(0, windows.shape[0] - 1, window.max_windows).round().astype(int)
        starts_s, windows = starts_s[picked], windows[picked]
    return starts_s, windows


def _probabilities(per_window: FloatArray, labels: tuple[str, ...]) -> tuple[LabelProbability, ...]:
    table = [
        LabelProbability(label, float(column.mean()), float(column.min()), float(column.max()))
        for label, column in zip(labels, per_window.T, strict=True)
    ]
    return tuple(sorted(table, key=lambda item: -item.probability))


def _doubts(
    per_window: FloatArray, windows: Float32Array, labels: tuple[str, ...], agreement: float
) -> tuple[Reason, ...]:
    mean = per_window.mean(axis=0)
    second, first = (int(index) for index in np.argsort(mean)[-2:])
    doubts = []
    if agreement < LEAST_AGREEMENT:
        message = (
            f"Only {agreement:.0%} of the windows have the same label on top, and {LEAST_AGREEMENT:.0%} are needed: "
            "the model changes its mind within this walk."
        )
        doubts.append(Reason("windows-disagree", message))
    if mean[first] - mean[second] < LEAST_MARGIN:
        message = (
            f"'{labels[first]}' ({mean[first]:.0%}) and '{labels[second]}' ({mean[second]:.0%}) are less than "
            f"{LEAST_MARGIN * 100:.0f} points apart: no label stands out."
        )
        doubts.append(Reason("no-clear-label", message))
    outside = float(np.mean(np.abs(windows) > OUTSIDE_SPREADS))
    if outside > MOST_OUTSIDE:
        message = (
            f"{outside:.0%} of the movement lies far outside the range of adult walking that the model's inputs are "
            "scaled to: it has not learned from walks like this one."
        )
        doubts.append(Reason("unfamiliar-walk", message))
    return tuple(doubts)


def _explanations(
    bundle: ModelBundle, recording: Recording, starts_s: FloatArray, windows: Float32Array, mean: FloatArray
) -> tuple[Explanation, ...]:
    from gaitkeeper_client.insight.explanation import explain

    model, spec = bundle.module(), bundle.spec
    order = [int(index) for index in np.argsort(-mean)]
    # With two labels the second explanation is the first with its signs changed.
    others = [index for index in order[1:] if mean[index] >= RAISED] if len(order) > 2 else []
    raised = [order[0], *others]
    found = (
        explain(model, windows, starts_s, spec.input, recording.events, spec.labels[index], index) for index in raised
    )
    return tuple(item for item in found if item is not None)
