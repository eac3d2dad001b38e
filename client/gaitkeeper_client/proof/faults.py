"""Faults planted on purpose: an audit that would not notice these would prove nothing.

Each is a mistake that was made in real systems. It is put into the running training code, for the length of a ``with``
block, and taken out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaitkeeper_client.training import dpsgd
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.noise import gaussian as real_gaussian

if TYPE_CHECKING:
    from gaitkeeper_client.training.dpsgd import PrivateSteps


@dataclass(frozen=True, slots=True)
class Fault:
    """``steps``: what the fault makes of a study's public numbers. ``plant``: a context in which the code is faulty;
    called anew for each trial."""

    name: str
    title: str
    steps: Callable[[PrivateSteps], PrivateSteps]
    plant: Callable[[], contextlib.AbstractContextManager[None]]


def _same(steps: PrivateSteps) -> PrivateSteps:
    return steps


@contextlib.contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """``owner.name`` is ``value`` inside the block. Raises ``audit-fault-not-planted`` where it has no such name."""
    if not hasattr(owner, name):
        raise GaitkeeperError("audit-fault-not-planted", name=name)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _clip_per_window() -> contextlib.AbstractContextManager[None]:
    real = dpsgd.patient_gradients

    def gradients(model: Any, patients: Any) -> None:
        """Each window as if it were a patient: clipped by itself, so that a patient counts as often as they walked."""
        windows = [
            replace(patient, inputs=patient.inputs[index : index + 1], labels=patient.labels[index : index + 1])
            for patient in patients
            for index in range(len(patient.labels))
        ]
        real(model, windows)

    return _replaced(dpsgd, "patient_gradients", gradients)


@contextlib.contextmanager
def _noise_again() -> Iterator[None]:
    """The noise of the first step over and over, as of a generator that is seeded anew for each round."""
    real_step = dpsgd.PatientOptimizer.add_noise
    kept: list[FloatArray] = []
    drawn = 0

    def gaussian(size: int, std: float) -> FloatArray:
        nonlocal drawn
        drawn += 1
        if drawn > len(kept):
            kept.append(real_gaussian(size, std))
        return kept[drawn - 1]

    def add_noise(self: Any) -> None:
        nonlocal drawn
        drawn = 0
        real_step(self)

    with _replaced(dpsgd, "gaussian", gaussian), _replaced(dpsgd.PatientOptimizer, "add_noise", add_noise):
        yield


NONE = Fault("none", "as it is", _same, contextlib.nullcontext)

FAULTS: tuple[Fault, ...] = (
    Fault("noise-off", "no noise", lambda steps: replace(steps, noise_multiplier=0.0), contextlib.nullcontext),
    Fault(
        "clip-per-window",
        "clipping per window instead of per patient",
        lambda steps: replace(steps, class_weights=()),
        _clip_per_window,
    ),
    Fault(
        "rate-mis-stated",
        "everybody in every step, whatever the stated rate",
        lambda steps: replace(steps, sample_rate=1.0),
        contextlib.nullcontext,
    ),
    Fault("noise-re-used", "the same noise in every round", _same, _noise_again),
)
