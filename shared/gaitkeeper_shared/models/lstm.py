"""Long short-term memory (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735)."""

from __future__ import annotations

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec


@register("lstm")
class LstmEncoder(TemporalEncoder):
    """Mean over time of an LSTM's outputs.

    The mean, not the last output: a window starts at no particular phase of the gait cycle, so no sample of it matters
    more than another, and a sum over samples has smaller gradients, which the clipping then spares.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.width = spec.hidden
        self.cells = nn.LSTM(len(spec.input.channels), spec.hidden, num_layers=spec.layers, batch_first=True)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, hidden)."""
        outputs, _ = self.cells(windows)
        mean: torch.Tensor = outputs.mean(dim=1)
        return mean
