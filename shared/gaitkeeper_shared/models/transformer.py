"""Transformer encoder (Vaswani et al. 2017, doi:10.48550/arXiv.1706.03762) over the samples of a window."""

from __future__ import annotations

import math

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec


@register("transformer")
class TransformerEncoder(TemporalEncoder):
    """Self-attention over time with sine positions, no dropout (its mask would not repeat), then the mean over time."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.width = spec.hidden
        heads = next(count for count in (4, 2, 1) if spec.hidden % count == 0)
        self.entry = nn.Linear(len(spec.input.channels), spec.hidden)
        layer = nn.TransformerEncoderLayer(
            spec.hidden, heads, dim_feedforward=2 * spec.hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, spec.layers, enable_nested_tensor=False)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, hidden)."""
        features = self.entry(windows)
        features = features + _positions(features.shape[1], self.width).to(features)
        mean: torch.Tensor = self.blocks(features).mean(dim=1)
        return mean


def _positions(samples: int, width: int) -> torch.Tensor:
    steps = torch.arange(samples, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(1000.0) / width))
    table = torch.zeros(samples, width)
    table[:, 0::2] = torch.sin(steps * rates)
    table[:, 1::2] = torch.cos(steps * rates)[:, : width // 2]
    return table
