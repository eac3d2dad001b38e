"""Gated recurrent unit (Cho et al. 2014, doi:10.3115/v1/D14-1179)."""

from __future__ import annotations

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec


@register("gru")
class GruEncoder(TemporalEncoder):
    """Mean over time of a GRU's outputs."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.width = spec.hidden
        self.cells = nn.GRU(len(spec.input.channels), spec.hidden, num_layers=spec.layers, batch_first=True)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, hidden)."""
        outputs, _ = self.cells(windows)
        mean: torch.Tensor = outputs.mean(dim=1)
        return mean
