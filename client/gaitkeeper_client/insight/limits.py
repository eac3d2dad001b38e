"""What every reader of a finding has to know of the model that it comes from."""

from __future__ import annotations

from gaitkeeper_client.insight.findings import ModelCard
from gaitkeeper_shared.models.channels import FORCE_CHANNELS

_FORCE = frozenset(channel.name for channel in FORCE_CHANNELS)
_SEES_MOVEMENT = (
    "sagittal joint angles and foot, hand and trunk movement only: no strength, tone, pain, sensation or history, and "
    "nothing of the frontal plane."
)
_SEES_FORCE = (
    "the load under both feet only: when they touch the ground and leave it, not how any joint moves; no strength, "
    "tone, pain, sensation or history."
)


_UNCALIBRATED = "A probability is the model's own score for one walk. It has not been calibrated on any patients."
_CALIBRATED = (
    "Probabilities were fitted, under the same privacy, to the patients whom the study was trained on, as if its "
    "labels were as frequent as it weighs them; they are off where the patients or the shares of the labels are others."
)
_SEVERITY = "A severity is an estimate on the study's own scale; it never lies beyond the ends of that scale."
_PERSONAL = (
    " The head that turns the model's features into them was then fitted to {people} patients of this site alone, who "
    "are few, and was not judged by anybody else."
)


def _score(card: ModelCard) -> str:
    words = _SEVERITY if card.values else (_CALIBRATED if card.calibrated else _UNCALIBRATED)
    return words + (_PERSONAL.format(people=card.personal_people) if card.personal_people else "")


def limits_of(card: ModelCard) -> tuple[str, ...]:
    """What every reader of a finding has to know; stated, never computed away."""
    labels = ", ".join(card.labels)
    study = card.study
    origin = "It was trained by a federation of clinics"
    if study is not None:
        clinics = f" with at least {study.fewest_sites} clinics in every round" if study.fewest_sites else ""
        origin = f"It was trained in the study “{study.title or study.name}”{clinics}"
    noise = "" if study is None or study.epsilon is None else f" (epsilon {study.epsilon:g}, delta {study.delta:g})"
    force = _FORCE.issuperset(card.channels)
    tools = "sensors" if force else "cameras"
    sees = _SEES_FORCE if force else _SEES_MOVEMENT
    return (
        "This is not a diagnosis. The model proposes; a clinician decides.",
        f"The model can only choose among: {labels}. It has no label for anything else, and will fit another disorder "
        "to the nearest of these.",
        _score(card),
        f"{origin}; how accurate it is for people unlike those of the study, for other {tools} or for walking aids is "
        "unknown.",
        f"Noise was added in training to protect each patient trained on{noise}; that costs accuracy.",
        f"It sees {sees}",
    )
