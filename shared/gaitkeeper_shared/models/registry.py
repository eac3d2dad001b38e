"""The kinds of temporal models. A new kind is one file that registers a class; nothing else has to know it."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterator
from importlib import import_module

import torch
from torch import nn

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.measures import Measure
from gaitkeeper_shared.models.objective import Objective
from gaitkeeper_shared.models.parts import part_of
from gaitkeeper_shared.models.spec import ModelSpec, trains

_FILES = ("lstm", "gru", "tcn", "transformer", "symmetry", "strides")
_KINDS: dict[str, Callable[[ModelSpec], TemporalEncoder]] = {}


class TemporalEncoder(nn.Module, abc.ABC):
    """Turns (N, T, C) scaled windows into (N, ``width``) features, one row per window.

    ``measures``: what the columns of :meth:`measured` mean, empty where all features are learned. ``differentiable``:
    whether a gradient of the features reaches the windows.
    """

    width: int
    measures: tuple[Measure, ...] = ()
    differentiable: bool = True

    @abc.abstractmethod
    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, width)."""

    def measured(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, M) of :attr:`measures`, in their spreads."""
        values: torch.Tensor = self(windows)
        return values

    def features_of(self, measured: torch.Tensor) -> torch.Tensor:
        """(N, M) measures to (N, width): ``features_of(measured(windows))`` is ``forward(windows)``."""
        return measured

    def resampled(self, windows: torch.Tensor, draws: int, seed: int) -> torch.Tensor | None:
        """(draws, N, M) measures of the same walks with their strides drawn anew; None where none can be drawn."""
        return None


class GaitModel(nn.Module):
    """An encoder of windows and a linear head over the study's labels: (N, T, C) windows to (N, O) outputs.

    ``objective``: what the outputs are for: the logits of L labels, or one severity.
    """

    def __init__(self, encoder: TemporalEncoder, objective: Objective, trained: str, signature: str = "") -> None:
        """``signature``: of everything but weights that the encoder's features depend on."""
        super().__init__()
        self.signature = signature
        self.encoder = encoder
        self.objective = objective
        self.head = nn.Linear(encoder.width, objective.outputs)
        self.trained = trained
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and trains(trained, part_of(name)))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) scaled windows to (N, O) outputs."""
        logits: torch.Tensor = self.head(self.encoder(windows))
        return logits

    @property
    def frozen(self) -> bool:
        """Whether no parameter of the encoder is ever trained, so that a window's features stay what they are."""
        return not any(parameter.requires_grad for parameter in self.encoder.parameters())

    def encoder_fingerprint(self) -> bytes:
        """A hash of all that the features of a window depend on beside the window."""
        digest = hashlib.blake2b(f"{type(self.encoder).__qualname__} {self.signature}".encode(), digest_size=32)
        for name, tensor in self.encoder.state_dict().items():
            digest.update(name.encode("utf-8"))
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.digest()

    def private_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that a site's private steps change, in a fixed order."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)


def register(kind: str) -> Callable[[type[TemporalEncoder]], type[TemporalEncoder]]:
    """Class decorator: makes an encoder known as ``kind``. Its constructor takes the :class:`ModelSpec`."""

    def add(encoder: type[TemporalEncoder]) -> type[TemporalEncoder]:
        if kind in _KINDS:
            raise ValueError(f"a second model of kind {kind!r}")
        _KINDS[kind] = encoder
        return encoder

    return add


def kinds() -> tuple[str, ...]:
    """The names that a study may use as ``model.kind``."""
    for file in _FILES:
        import_module(f"gaitkeeper_shared.models.{file}")
    return tuple(sorted(_KINDS))


def build(spec: ModelSpec) -> GaitModel:
    """A model with its first weights, the same on every machine for the same ``spec.seed``.

    Raises ``model-kind-unknown``.
    """
    known = kinds()
    if spec.kind not in known:
        raise GaitkeeperError("model-kind-unknown", kind=spec.kind, known=", ".join(known))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)
        signature = repr(
            (spec.kind, spec.hidden, spec.layers, spec.input, spec.features, spec.branch, spec.adapter_rank)
        )
        encoder: TemporalEncoder = _KINDS[spec.kind](spec)
        if spec.adapter_rank:
            from gaitkeeper_shared.models.adapted import AdaptedEncoder

            encoder = AdaptedEncoder(encoder, spec.adapter_rank)
        if spec.features or spec.branch != "none":
            from gaitkeeper_shared.models.branched import BranchedEncoder

            encoder = BranchedEncoder(encoder, spec)
        return GaitModel(encoder, Objective(spec.outputs, spec.values), spec.trained, signature)


def best_device() -> torch.device:
    """The GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
