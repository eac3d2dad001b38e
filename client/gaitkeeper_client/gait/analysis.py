"""The result of a gait analysis, as a typed frozen value, and its JSON (``docs/analysis-schema.md``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import GaitEvent, Recording, Side
from gaitkeeper_shared.typed_json import from_json

ANALYSIS_SCHEMA = "gaitkeeper.analysis/1"
SCHEMA_MINOR = 3
"""Counts the fields added within version 1: 1 added ``minor`` itself and a parameter's ``notes``, 2 a
cycle's ``planes``, 3 the quality's ``feet_seen`` and ``forces_known_share``."""
CURVE_POINTS = 101
"""Curves run over 0..100 % of the cycle."""

_DECIMALS = 4

Status = Literal["analysed", "refused"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a result is withheld: a stable ``code``, and in words what is the matter and what to do about it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One gait parameter: a value with its uncertainty, or a refusal, never both.

    ``ci95``: 95 % interval of the value over the ``n`` strides, steps or cycles that it is the mean of; None for one.
    ``notes``: what asks for care when reading the value (``far-leg``, ``wide-interval``...); empty when refused.
    """

    unit: str
    value: float | None = None
    ci95: tuple[float, float] | None = None
    n: int = 0
    refused: Reason | None = None
    notes: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Cycle:
    """One gait cycle, from a foot strike to the next of the same foot; times in seconds from the first sample.

    ``curves``: angles by name (``knee_flexion_left``...), each :data:`CURVE_POINTS` values in degrees.
    ``planes``: likewise, the angles of the foot's own side in three planes
    (:mod:`~gaitkeeper_client.gait.joint_coordinates`); empty where no markers give the segments' axes.
    A contralateral event that was not found inside the cycle is None.
    """

    side: Side
    start_s: float
    end_s: float
    foot_off_s: float | None
    opposite_foot_off_s: float | None
    opposite_foot_strike_s: float | None
    curves: Mapping[str, FloatArray] = field(default_factory=dict)
    planes: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Stride time in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one recording says about a walk, or why it says nothing.

    ``recording`` is there whenever the status is ``analysed``; ``source`` and ``quality`` hold JSON values only.
    """

    status: Status
    reasons: tuple[Reason, ...]
    source: Mapping[str, Any]
    parameters: Mapping[str, Parameter]
    events: tuple[GaitEvent, ...]
    cycles: tuple[Cycle, ...]
    quality: Mapping[str, Any]
    recording: Recording | None = None

    def to_json(self) -> dict[str, Any]:
        """The value as ``gaitkeeper.analysis/1``: JSON types only, no NaN."""
        document = {
            "schema": ANALYSIS_SCHEMA,
            "minor": SCHEMA_MINOR,
            "status": self.status,
            "reasons": [asdict(reason) for reason in self.reasons],
            "source": dict(self.source),
            "parameters": {name: asdict(parameter) for name, parameter in self.parameters.items()},
            "events": [asdict(event) for event in self.events],
            "cycles": [_cycle_json(cycle) for cycle in self.cycles],
            "quality": dict(self.quality),
        }
        cleaned: dict[str, Any] = _plain(document)
        return cleaned


def analysis_of(document: Mapping[str, Any], recording: Recording | None = None) -> Analysis:
    """The value behind :meth:`Analysis.to_json`, as precise as that is, with the recording that it was made from.

    A ``ValueError`` says what is wrong with a document that was never written so.
    """
    if document.get("schema") != ANALYSIS_SCHEMA:
        raise ValueError(f"its schema is not {ANALYSIS_SCHEMA}")
    values = {key: value for key, value in document.items() if key not in ("schema", "minor")}
    found = from_json(Analysis, {**values, "recording": None}, "analysis")
    return replace(found, recording=recording)


def _cycle_json(cycle: Cycle) -> dict[str, Any]:
    return {name: getattr(cycle, name) for name in Cycle.__dataclass_fields__}


def _plain(value: Any) -> Any:
    """Numbers rounded to what was measured, arrays as lists, and null for what is not known."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return round(value, _DECIMALS) if math.isfinite(value) else None
    return value
