"""What a model is, without its weights: everything needed to build it again and to feed it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME
from gaitkeeper_shared.study import LONGEST_WINDOW_S, Input, Study

MAX_HIDDEN = 1024
MAX_LAYERS = 8


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A temporal model: its kind and size, the windows it reads, the labels it tells apart, the study it comes from.

    ``kind``: a name of :func:`gaitkeeper_shared.models.registry.kinds`. ``trained``: which parameters a site's private
    steps change, the study's list with ``+`` between (``all``, ``head``, ``adapters+head``); the others stay as they
    were drawn or pretrained. ``features``, ``branch``, ``adapter_rank``, ``personal``: see
    :class:`gaitkeeper_shared.study.Model`. ``values``: what the labels are worth, for a model that tells a severity
    and no label; else empty. ``certain_from``: see :class:`gaitkeeper_shared.study.Task`. ``calibrated``: whether the
    study's last rounds made its scores probabilities.
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
    adapter_rank: int = 0
    personal: str = "none"
    values: tuple[float, ...] = ()
    certain_from: float = 0.0
    calibrated: bool = False

    @property
    def outputs(self) -> int:
        """Numbers that the model says of a window: one per label, or one severity."""
        return 1 if self.values else len(self.labels)

    def trains(self, part: str) -> bool:
        """Whether private steps change ``part``: ``encoder``, ``adapters`` or ``head``."""
        return trains(self.trained, part)

    @classmethod
    def of(cls, study: Study, study_hash: str) -> ModelSpec:
        """The model that a study asks for."""
        model = study.model
        return cls(
            kind=model.kind,
            hidden=model.hidden,
            layers=model.layers,
            seed=model.seed,
            trained=model.trained_parts,
            input=study.input,
            labels=study.task.labels,
            study_hash=study_hash,
            features=model.features,
            branch=model.branch,
            adapter_rank=model.adapter_rank,
            personal=model.personal,
            values=study.task.values,
            certain_from=study.task.certain_from,
            calibrated=study.training.calibration > 0,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        table = dataclasses.asdict(self)
        table["labels"] = list(self.labels)
        table["values"] = list(self.values)
        table["input"]["channels"] = list(self.input.channels)
        return table

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> ModelSpec:
        """The inverse of :meth:`to_json` for untrusted input. Raises ``ValueError``, ``TypeError`` or ``KeyError``."""
        values = dict(table)
        window = dict(values.pop("input"))
        window["channels"] = _texts(window["channels"], "channels")
        labels = _texts(values.pop("labels"), "labels")
        worth = _numbers(values.pop("values", []), "values")
        spec = cls(input=Input(**window), labels=labels, values=worth, **values)
        _check(spec)
        return spec


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{what} is not a list of texts")
    return tuple(value)


def _numbers(value: Any, what: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(item) in (int, float) and math.isfinite(item) for item in value):
        raise ValueError(f"{what} is not a list of numbers")
    return tuple(float(item) for item in value)


def trains(trained: str, part: str) -> bool:
    """Whether ``trained``, a study's parts with ``+`` between, holds ``part``."""
    return trained == "all" or part in trained.split("+")


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
    if spec.trained != "all" and not set(spec.trained.split("+")) <= {"encoder", "adapters", "head"}:
        raise ValueError(f"trained = {spec.trained!r}")
    if not 0 <= spec.features <= 256 or spec.branch not in ("none", "symmetry"):
        raise ValueError(f"features = {spec.features}, branch = {spec.branch!r}")
    _check_additions(spec)


def _check_additions(spec: ModelSpec) -> None:
    rising = all(low < high for low, high in pairwise(spec.values))
    if spec.values and not (len(spec.values) == len(spec.labels) and rising):
        raise ValueError("its values are not one rising number for each label")
    if type(spec.adapter_rank) is not int or not 0 <= spec.adapter_rank <= 64:
        raise ValueError(f"adapter_rank = {spec.adapter_rank!r}")
    if type(spec.calibrated) is not bool or spec.personal not in ("none", "head"):
        raise ValueError(f"calibrated = {spec.calibrated!r}, personal = {spec.personal!r}")
    if type(spec.certain_from) not in (int, float) or not 0 <= spec.certain_from < 1:
        raise ValueError(f"certain_from = {spec.certain_from!r}")
