"""Low-rank adapters: small corrections beside the weights of an encoder that stays as it was pretrained.

Every weight matrix W of the encoder acts as W + B A (Hu et al. 2022, doi:10.48550/arXiv.2106.09685), with few rows in A
and as few columns in B. A is drawn once from the study's seed and never trained; B starts at zero and is (Sun et al.
2024, doi:10.48550/arXiv.2403.12313): the mean of the sites' corrections is then the correction of their mean, which the
mean of a product is not, noise is not multiplied by noise, and half as many numbers are trained privately.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder

_EXCHANGED = threading.Lock()
"""``functional_call`` puts the corrected matrices into the module itself for as long as it runs: two patients side by
side would meet each other's. Only the way forward is in turn; gradients are computed beside each other."""


class AdaptedEncoder(TemporalEncoder):
    """An encoder with an adapter of ``rank`` beside each of its matrices; before training it is the encoder itself."""

    def __init__(self, encoder: TemporalEncoder, rank: int) -> None:
        super().__init__()
        self.body = encoder
        self.width = encoder.width
        self.differentiable = encoder.differentiable
        shapes = {name: tuple(p.shape) for name, p in encoder.named_parameters() if p.dim() >= 2}
        self._adapted = tuple(shapes)
        sizes = [(shape[0], math.prod(shape[1:])) for shape in shapes.values()]
        ranks = [min(rank, *size) for size in sizes]
        # Rows of about unit length: a correction of size c changes the outputs by about c times the inputs.
        drawn = [torch.randn(own, columns) / math.sqrt(columns) for own, (_, columns) in zip(ranks, sizes, strict=True)]
        self.basis = nn.ParameterList([nn.Parameter(matrix, requires_grad=False) for matrix in drawn])
        self.correction = nn.ParameterList(
            [nn.Parameter(torch.zeros(rows, own)) for own, (rows, _) in zip(ranks, sizes, strict=True)]
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, width)."""
        with _EXCHANGED:
            known = dict(self.body.named_parameters())
            changed = {
                name: known[name] + (b @ a).reshape(known[name].shape)
                for name, a, b in zip(self._adapted, self.basis, self.correction, strict=True)
            }
            features: torch.Tensor = torch.func.functional_call(self.body, changed, (windows,))
        return features
