"""What a model is, without its weights: everything needed to build it again and to feed it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME
from gaitkeeper_shared.study import LONGEST_WINDOW_S, Input, Study

MAX_HIDDEN = 1024
MAX_LAYERS = 8


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A temporal model: its kind and size, the windows it reads, the labels it tells apart, the study it comes from.

    ``kind``: a name of :func:`gaitkeeper_shared.models.registry.kinds`. ``trained``: which parameters a site's private
    steps change, ``all`` or only the ``head`` (the encoder stays as it was drawn or pretrained). ``features``,
    ``branch``: see :class:`gaitkeeper_shared.study.Model`.
    """

    kind: str
    hidden: int
    layers: int
    seed: int
    trained: str
    input: Input
    labels: tuple[str, ...]
    study_hash: str
    features: int = 0
    branch: str = "none"

    @classmethod
    def of(cls, study: Study, study_hash: str) -> ModelSpec:
        """The model that a study asks for."""
        model = study.model
        return cls(
            kind=model.kind,
            hidden=model.hidden,
            layers=model.layers,
            seed=model.seed,
            trained=model.trained,
            input=study.input,
            labels=study.task.labels,
            study_hash=study_hash,
            features=model.features,
            branch=model.branch,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        table = dataclasses.asdict(self)
        table["labels"] = list(self.labels)
        table["input"]["channels"] = list(self.input.channels)
        return table

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> ModelSpec:
        """The inverse of :meth:`to_json` for untrusted input. Raises ``ValueError``, ``TypeError`` or ``KeyError``."""
        values = dict(table)
        window = dict(values.pop("input"))
        window["channels"] = _texts(window["channels"], "channels")
        labels = _texts(values.pop("labels"), "labels")
        spec = cls(input=Input(**window), labels=labels, **values)
        _check(spec)
        return spec


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{what} is not a list of texts")
    return tuple(value)


def _check(spec: ModelSpec) -> None:
    window = spec.input
    sizes = (spec.hidden, spec.layers, spec.seed, spec.features, window.max_windows)
    rates = (window.rate_hz, window.window_s, window.hop_s)
    rules = (
        (all(type(size) is int for size in sizes), "a size is not a whole number"),
        (
            all(isinstance(rate, int | float) and math.isfinite(rate) and rate > 0 for rate in rates),
            "a rate is no rate",
        ),
        (all(isinstance(text, str) for text in (spec.kind, spec.trained, spec.study_hash)), "a text is missing"),
    )
    for holds, why in rules:
        if not holds:
            raise ValueError(why)
    if not (1 <= spec.hidden <= MAX_HIDDEN and 1 <= spec.layers <= MAX_LAYERS):
        raise ValueError(f"{spec.layers} layers of {spec.hidden} units are more than a study may ask for")
    if not (10 <= window.rate_hz <= 200 and window.window_s <= LONGEST_WINDOW_S and 1 <= window.max_windows <= 256):
        raise ValueError("its windows are beyond what a study may ask for")
    if not 2 <= len(spec.labels) <= 64 or len(set(spec.labels)) != len(spec.labels):
        raise ValueError("its labels are fewer than two, too many, or repeated")
    unknown = [name for name in window.channels if name not in CHANNEL_BY_NAME]
    if unknown or len(set(window.channels)) != len(window.channels):
        raise ValueError(f"its channels are unknown or repeated: {', '.join(unknown)}")
    if spec.trained not in ("all", "head"):
        raise ValueError(f"trained = {spec.trained!r}")
    if not 0 <= spec.features <= 256 or spec.branch not in ("none", "symmetry"):
        raise ValueError(f"features = {spec.features}, branch = {spec.branch!r}")
