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
        "A probability is the model's own score for one walk. It has not been calibrated on this clinic's patients.",
        f"{origin}; how accurate it is for people unlike those of the study, for other {tools} or for walking aids is "
        "unknown.",
        f"Noise was added in training to protect each patient{noise}; that costs accuracy.",
        f"It sees {sees}",
    )
