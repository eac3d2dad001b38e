"""Patient-level DP-SGD: one patient, with all their windows, is one sample.

Abadi et al. 2016 (doi:10.1145/2976749.2978318), with the patient as the unit. Patients are drawn by Poisson sampling at
the study's public rate; each patient's gradient comes from one ordinary forward and backward pass over their windows,
is clipped once, and the noised sum is divided by a public constant. Nothing here depends on how many patients a site
has: an empty draw still takes its step of pure noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from opacus.optimizers import DPOptimizer
from torch import nn

from gaitkeeper_client.training.frozen import frozen_features
from gaitkeeper_client.training.side_by_side import side_by_side
from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.privacy.noise import gaussian, poisson_sample

if TYPE_CHECKING:
    from gaitkeeper_client.training.dataset import Person
    from gaitkeeper_shared.models.registry import GaitModel


@dataclass(frozen=True, slots=True)
class PrivateSteps:
    """What a site does in a round; every number is public.

    ``noise_multiplier``: standard deviation of the noise in units of ``clip_norm``; 0 only in a rehearsal.
    ``normaliser``: the clipped, noised sum is divided by it: sample rate times the study's nominal patients per site.
    ``class_weights``: at most 1 each, multiplied onto clipped gradients; empty for none.
    ``proximal``: strength of the pull towards the model that the round started from (FedProx); 0 for none.
    """

    steps: int
    learning_rate: float
    momentum: float
    clip_norm: float
    sample_rate: float
    normaliser: float
    noise_multiplier: float
    class_weights: tuple[float, ...] = ()
    proximal: float = 0.0


class PatientOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus is not typed
    """Opacus' clipping and noising over one row per patient, with noise from the cryptographic source.

    After :meth:`pull` each step is drawn towards the weights of that moment. The pull is added to the noised, divided
    sum: it depends on weights alone, which are private already.
    """

    proximal = 0.0
    origin: tuple[torch.Tensor, ...] = ()

    def pull(self, strength: float) -> None:
        """Pull every further step towards the present weights, with this strength."""
        self.proximal = strength
        self.origin = tuple(parameter.detach().clone() for parameter in self.params)

    def scale_grad(self) -> None:
        """Divide the noised sum by the public constant, and add the pull."""
        super().scale_grad()
        if self.proximal:
            for parameter, origin in zip(self.params, self.origin, strict=True):
                parameter.grad.add_(parameter.detach() - origin, alpha=self.proximal)

    def add_noise(self) -> None:
        """Add the Gaussian noise of one step to the clipped sum of every parameter."""
        std = float(self.noise_multiplier) * float(self.max_grad_norm)
        sizes = [parameter.numel() for parameter in self.params]
        drawn = np.split(gaussian(sum(sizes), std), np.cumsum(sizes)[:-1])
        for parameter, part in zip(self.params, drawn, strict=True):
            noise = torch.from_numpy(part).reshape(parameter.shape).to(parameter.device)
            # Added in double precision: the sum is rounded once, after the noise hides it.
            parameter.grad = (parameter.summed_grad.double() + noise).to(parameter.dtype)


def train_private(
    model: GaitModel,
    people: Sequence[Person],
    steps: PrivateSteps,
    momentum: Mapping[str, Float32Array] | None = None,
) -> dict[str, Float32Array]:
    """Take a round's private steps on ``model``, in place.

    ``momentum``: the optimiser's state after this site's last round of the run. Returns that state after this one. It
    is computed from noised sums alone, so that keeping it costs no privacy. ``people``: all who may be drawn, possibly
    nobody.
    """
    model.train()
    parameters = list(model.private_parameters())
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    optimizer = PatientOptimizer(
        torch.optim.SGD(parameters, lr=steps.learning_rate, momentum=steps.momentum),
        noise_multiplier=steps.noise_multiplier,
        max_grad_norm=steps.clip_norm,
        expected_batch_size=steps.normaliser,
    )
    _restore(optimizer, dict(zip(names, parameters, strict=True)), momentum or {})
    if steps.proximal:
        optimizer.pull(steps.proximal)
    batches = [_Batch.of(person, model) for person in people]
    for _ in range(steps.steps):
        drawn = [batches[index] for index in np.flatnonzero(poisson_sample(len(batches), steps.sample_rate))]
        optimizer.zero_grad(set_to_none=True)
        patient_gradients(model, drawn)
        if steps.class_weights:
            _weigh(parameters, [steps.class_weights[patient.class_index] for patient in drawn], steps.clip_norm)
        optimizer.step()
    model.eval()
    return _state(optimizer, dict(zip(names, parameters, strict=True)))


@dataclass(frozen=True, slots=True)
class _Batch:
    """A patient on the device: (N, T, C) windows, or their (N, width) features where the encoder never changes, and
    (N,) times their class."""

    inputs: torch.Tensor
    labels: torch.Tensor
    class_index: int

    @classmethod
    def of(cls, person: Person, model: GaitModel) -> _Batch:
        device = model.head.weight.device
        inputs = frozen_features(model, person.windows) if model.frozen else torch.from_numpy(person.windows)
        labels = torch.full((inputs.shape[0],), person.class_index, dtype=torch.long, device=device)
        return cls(inputs.to(device), labels, person.class_index)


def _logits(model: GaitModel, patient: _Batch) -> torch.Tensor:
    logits: torch.Tensor = (model.head if model.frozen else model)(patient.inputs)
    return logits


def patient_gradients(model: GaitModel, patients: Sequence[_Batch]) -> None:
    """Set ``grad_sample`` of each private parameter: (patients, *shape), one row per patient.

    A row is the gradient of the patient's mean loss over their windows.
    """
    parameters = list(model.private_parameters())
    rows = _head_rows(model, patients) if model.frozen and patients else _rows(model, parameters, patients)
    if patients:
        broken = ~_row_norms(rows).isfinite()
        for row in rows:
            row[broken] = 0.0  # one patient's overflow must neither spoil the sum nor show in it
    for parameter, row in zip(parameters, rows, strict=True):
        parameter.grad_sample = row  # type: ignore[attr-defined]  # where Opacus' optimiser looks for it


def _rows(model: GaitModel, parameters: Sequence[nn.Parameter], patients: Sequence[_Batch]) -> list[torch.Tensor]:
    rows = [torch.empty((len(patients), *parameter.shape), device=parameter.device) for parameter in parameters]

    def fill(index: int) -> None:
        outputs = model(patients[index].inputs)
        gradients = torch.autograd.grad(model.objective.loss(outputs, patients[index].labels), parameters)
        for row, gradient in zip(rows, gradients, strict=True):
            row[index] = gradient

    side_by_side(fill, len(patients))
    return rows


def _head_rows(model: GaitModel, patients: Sequence[_Batch]) -> list[torch.Tensor]:
    """Rows of the head's weight and bias, all patients at once: of a linear layer they are outer products."""
    counts = torch.tensor([patient.inputs.shape[0] for patient in patients])
    owner = torch.repeat_interleave(torch.arange(len(patients)), counts)
    inputs, labels = (torch.cat([getattr(patient, name) for patient in patients]) for name in ("inputs", "labels"))
    owner, share = owner.to(inputs.device), (1.0 / counts[owner]).to(inputs.device)
    with torch.no_grad():
        logits = model.head(inputs)
        errors = model.objective.errors(logits, labels) * share[:, None]
        rows = [
            torch.zeros((len(patients), *parameter.shape), device=inputs.device)
            for parameter in model.head.parameters()
        ]
        rows[0].index_add_(0, owner, errors[:, :, None] * inputs[:, None, :])
        rows[1].index_add_(0, owner, errors)
    return rows


def _row_norms(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """(patients,) length of each patient's gradient over all parameters; not finite where any entry is not."""
    lengths: torch.Tensor = torch.stack([row.flatten(1).norm(dim=1) for row in rows], dim=1).norm(dim=1)
    return lengths


def _weigh(parameters: Sequence[nn.Parameter], weights: Sequence[float], clip_norm: float) -> None:
    """Clip each patient's row and multiply it by their class' weight, at most 1.

    No row is longer than ``clip_norm`` then, so that the optimiser's own clipping, which the guarantee rests on, leaves
    it as it is. Weights before clipping would be undone by it.
    """
    rows = [parameter.grad_sample for parameter in parameters]  # type: ignore[attr-defined]
    norms = _row_norms(rows)
    factors = torch.tensor(weights, device=norms.device) * (clip_norm / (norms + 1e-6)).clamp(max=1.0)
    for row in rows:
        row *= factors.reshape(-1, *[1] * (row.dim() - 1))


def correct_people(model: GaitModel, people: Sequence[Person]) -> int:
    """How many people are judged to have the label that is their own."""
    judged = zip(grades(model, people), people, strict=True)
    return sum(grade == person.class_index for grade, person in judged)


def grades(model: GaitModel, people: Sequence[Person]) -> list[int]:
    """The label that each person is judged to have, by the mean of the model's answers over their windows."""
    with torch.inference_mode():
        answers = [model.objective.answers(_logits(model, _Batch.of(person, model))).mean(dim=0) for person in people]
    return [model.objective.grade(answer) for answer in answers]


def _restore(
    optimizer: PatientOptimizer, parameters: Mapping[str, nn.Parameter], momentum: Mapping[str, Float32Array]
) -> None:
    for name, parameter in parameters.items():
        kept = momentum.get(name)
        if kept is not None and kept.shape == tuple(parameter.shape):
            buffer = torch.from_numpy(kept.copy()).to(parameter.device)
            optimizer.original_optimizer.state[parameter]["momentum_buffer"] = buffer


def _state(optimizer: PatientOptimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Float32Array]:
    state = {}
    for name, parameter in parameters.items():
        buffer = optimizer.original_optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            state[name] = buffer.cpu().numpy().astype(np.float32)
    return state
