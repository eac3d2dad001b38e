"""What the recurrent models share: the mean over time of their outputs."""

from __future__ import annotations

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder
from gaitkeeper_shared.models.spec import ModelSpec


class RecurrentEncoder(TemporalEncoder):
    """Mean over time of the outputs of :attr:`cells`.

    The mean, not the last output: a window starts at no particular phase of the gait cycle, so no sample of it matters
    more than another, and a sum over samples has smaller gradients, which the clipping then spares.
    """

    cells_of: type[nn.LSTM | nn.GRU]

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.width = spec.hidden
        self.cells = self.cells_of(len(spec.input.channels), spec.hidden, num_layers=spec.layers, batch_first=True)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, hidden)."""
        outputs, _ = self.cells(windows)
        mean: torch.Tensor = outputs.mean(dim=1)
        return mean
