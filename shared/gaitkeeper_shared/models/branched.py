"""An encoder whose output is drawn together into few numbers, with clinical numbers beside them.

Noise costs accuracy in proportion to what is trained privately: a head over a handful of numbers learns from some ten
patients a clinic, one over a recurrent network's whole output does not.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from gaitkeeper_shared.models.registry import TemporalEncoder
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.symmetry import SymmetryEncoder

_LENGTH = 2.0
"""Length of a typical feature vector: its gradient's, too, which the clipping norm of a study is chosen for."""


class BranchedEncoder(TemporalEncoder):
    """``spec.features`` numbers between -1 and 1 of an encoder, and the numbers of ``spec.branch``.

    Both parts are scaled so that together they are about 2 long, each in proportion to how many numbers it has.
    """

    def __init__(self, encoder: TemporalEncoder, spec: ModelSpec) -> None:
        super().__init__()
        self.body = encoder
        self.narrow = nn.Linear(encoder.width, spec.features) if spec.features else None
        self.branch = SymmetryEncoder(spec) if spec.branch == "symmetry" else None
        self.own = spec.features or encoder.width
        self.beside = self.branch.width if self.branch is not None else 0
        self.width = self.own + self.beside
        self.differentiable = encoder.differentiable
        if encoder.measures:
            self.measures = encoder.measures + (self.branch.measures if self.branch is not None else ())

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, own + beside)."""
        return self._joined(self.body(windows), None if self.branch is None else self.branch(windows))

    def measured(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, M): the encoder's measures and the branch's."""
        own = self.body.measured(windows)
        return own if self.branch is None else torch.cat([own, self.branch(windows)], dim=1)

    def features_of(self, measured: torch.Tensor) -> torch.Tensor:
        """(N, M) to (N, own + beside)."""
        own = len(self.body.measures)
        return self._joined(measured[:, :own], None if self.branch is None else measured[:, own:])

    def resampled(self, windows: torch.Tensor, draws: int, seed: int) -> torch.Tensor | None:
        """(draws, N, M) of the encoder's measures; None beside a branch, whose means have no strides."""
        return None if self.branch is not None else self.body.resampled(windows, draws, seed)

    def _joined(self, own: torch.Tensor, beside: torch.Tensor | None) -> torch.Tensor:
        """The two parts, scaled."""
        if self.narrow is not None:
            # A saturated number is about 1 long, as one of the branch's is in its spread.
            own = torch.tanh(self.narrow(own))
        own = own * (_LENGTH / math.sqrt(self.width))
        if beside is None:
            return own
        return torch.cat([own, beside * math.sqrt(self.beside / self.width)], dim=1)
