"""Temporal convolutional network (Bai, Kolter & Koltun 2018, doi:10.48550/arXiv.1803.01271), without batch statistics.

Batch normalisation would mix patients and so void the patient as the unit of privacy; a group norm stays within a
window.
"""

from __future__ import annotations

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec

_KERNEL = 5


@register("tcn")
class TcnEncoder(TemporalEncoder):
    """Dilated convolutions over time with residual paths, then the mean over time."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.width = spec.hidden
        self.entry = nn.Conv1d(len(spec.input.channels), spec.hidden, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(spec.hidden, spec.hidden, _KERNEL, dilation=2**level, padding="same"),
                nn.GroupNorm(1, spec.hidden),
                nn.GELU(),
            )
            for level in range(spec.layers)
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, hidden)."""
        features: torch.Tensor = self.entry(windows.transpose(1, 2))
        for block in self.blocks:
            features = features + block(features)
        return features.mean(dim=2)
