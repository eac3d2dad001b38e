"""What a model is trained for: telling labels apart, or telling how severe a gait disorder is.

Both are losses of a window's outputs against its person's label, with bounded gradients where the output is near; the
private steps need the loss itself (automatic differentiation) and its derivative by the outputs (a head alone).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Objective:
    """``values``: what the labels are worth, for a severity; empty for a classification into ``outputs`` labels.

    A severity's target is its value on a scale from -1, the first grade, to 1, the last one.
    """

    outputs: int
    values: tuple[float, ...] = ()

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean of :meth:`losses`."""
        return self.losses(outputs, labels).mean()

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N,) of (N, O) outputs: cross entropy, or half the squared error, against (N,) label indices."""
        if self.values:
            return 0.5 * (outputs[:, 0] - self._targets(labels, outputs)).square()
        return nn.functional.cross_entropy(outputs, labels, reduction="none")

    def errors(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, O) derivative of each window's own loss by its outputs."""
        if self.values:
            return outputs - self._targets(labels, outputs)[:, None]
        return torch.softmax(outputs, dim=1) - nn.functional.one_hot(labels, outputs.shape[1])

    def answers(self, outputs: torch.Tensor) -> torch.Tensor:
        """What (N, O) outputs say: (N, L) probabilities, or (N, 1) severities between the first value and the last."""
        if not self.values:
            return torch.softmax(outputs, dim=1)
        low, high = self.values[0], self.values[-1]
        return low + (high - low) * (outputs.clamp(-1.0, 1.0) + 1.0) / 2.0

    def grade(self, answer: torch.Tensor) -> int:
        """The label that one (L,) or (1,) answer stands for: the most probable one, or the nearest grade."""
        if not self.values:
            return int(answer.argmax().item())
        distances = torch.tensor(self.values, dtype=torch.float64) - float(answer.item())
        return int(distances.abs().argmin().item())

    def _targets(self, labels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        low, high = self.values[0], self.values[-1]
        scaled = [2.0 * (value - low) / (high - low) - 1.0 for value in self.values]
        return torch.tensor(scaled, dtype=like.dtype, device=like.device)[labels]
