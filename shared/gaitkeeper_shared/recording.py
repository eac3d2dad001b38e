"""A recording: one walk of one patient, as a typed frozen value, and its encoding to bytes.

What a source delivers becomes :class:`JointTrajectories` (points) at the door; the gait engine adds events and feature
signals. The encoding is safetensors (arrays) with a JSON header: no pickle, and a broken file is an error, not a guess.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import JOINTS

RECORDING_SCHEMA = "gaitkeeper.recording/1"

Side = Literal["left", "right"]
EventType = Literal["foot_strike", "foot_off"]
LengthUnit = Literal["px", "m"]


@dataclass(frozen=True, slots=True)
class JointTrajectories:
    """Joint positions over time.

    ``time_s``: (T,) seconds from the first sample, strictly increasing, not necessarily evenly spaced.
    ``positions``: (T, J, D) with J in the order of :data:`~gaitkeeper_shared.skeleton.JOINTS`; NaN where not seen.
    D = 2: image plane of an upright video, x to the right and **y up** (readers flip image rows). D = 3: x, y
    horizontal and **z up**. ``unit``: of the positions; ``px`` only for D = 2.
    ``confidence``: (T, J) in 0..1; 1 where a source gives none.
    """

    time_s: FloatArray
    positions: FloatArray
    unit: LengthUnit
    confidence: FloatArray

    def __post_init__(self) -> None:
        samples = self.time_s.shape[0]
        if self.positions.shape[:2] != (samples, len(JOINTS)) or self.positions.shape[2] not in (2, 3):
            raise ValueError(f"positions {self.positions.shape} do not fit {samples} samples of {len(JOINTS)} joints")
        if self.confidence.shape != (samples, len(JOINTS)):
            raise ValueError(f"confidence {self.confidence.shape} does not fit positions {self.positions.shape}")
        if samples > 1 and not bool(np.all(np.diff(self.time_s) > 0)):
            raise ValueError("time_s is not strictly increasing")

    @property
    def sample_rate_hz(self) -> float:
        """Median sampling rate in Hz; NaN for fewer than two samples."""
        return math.nan if self.time_s.size < 2 else float(1.0 / np.median(np.diff(self.time_s)))

    @property
    def dimensions(self) -> int:
        """2 for image points, 3 for laboratory points."""
        return int(self.positions.shape[2])


@dataclass(frozen=True, slots=True)
class GaitEvent:
    """A foot touching (``foot_strike``) or leaving (``foot_off``) the ground; ``confidence`` in 0..1."""

    time_s: float
    side: Side
    type: EventType
    confidence: float


@dataclass(frozen=True, slots=True)
class Signals:
    """Feature channels over time: what a temporal model sees.

    ``time_s``: (T,) evenly spaced seconds. ``names``: C channel names (see ``gaitkeeper_shared.models.channels``).
    ``values``: (T, C) in the channel's own unit, NaN where not known.
    """

    time_s: FloatArray
    names: tuple[str, ...]
    values: Float32Array

    def __post_init__(self) -> None:
        if self.values.shape != (self.time_s.shape[0], len(self.names)):
            raise ValueError(
                f"values {self.values.shape} do not fit {self.time_s.shape[0]} samples x {len(self.names)}"
            )


@dataclass(frozen=True, slots=True)
class Recording:
    """One walk of one patient.

    ``source``: provenance (kind, sha256 of the file, sizes, estimator and its version, view, direction), JSON values
    only, never a path or a name. ``quality``: what the quality stage measured, JSON values only.
    """

    trajectories: JointTrajectories
    events: tuple[GaitEvent, ...]
    signals: Signals
    source: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)


def encode_recording(recording: Recording) -> bytes:
    """The recording as bytes; :func:`decode_recording` is its inverse."""
    from safetensors.numpy import save  # the command's help must not wait for it

    trajectories, signals = recording.trajectories, recording.signals
    header = {
        "schema": RECORDING_SCHEMA,
        "unit": trajectories.unit,
        "joints": list(JOINTS),
        "signals": list(signals.names),
        "events": [dataclasses.asdict(event) for event in recording.events],
        "source": dict(recording.source),
        "quality": dict(recording.quality),
    }
    arrays = {
        "trajectories.time_s": trajectories.time_s,
        "trajectories.positions": trajectories.positions.astype(np.float32),
        "trajectories.confidence": trajectories.confidence.astype(np.float32),
        "signals.time_s": signals.time_s,
        "signals.values": signals.values,
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, metadata={"header": json.dumps(header, allow_nan=False)})


def decode_recording(data: bytes) -> Recording:
    """Read what :func:`encode_recording` wrote. Raises ``recording-damaged`` for anything else."""
    from safetensors.numpy import load

    try:
        header = json.loads(_safetensors_metadata(data)["header"])
        if header["schema"] != RECORDING_SCHEMA:
            raise ValueError(f"schema {header['schema']!r}, not {RECORDING_SCHEMA!r}")
        if tuple(header["joints"]) != JOINTS:
            raise ValueError("another set of joints")
        arrays = load(data)
        trajectories = JointTrajectories(
            arrays["trajectories.time_s"],
            arrays["trajectories.positions"].astype(np.float64),
            header["unit"],
            arrays["trajectories.confidence"].astype(np.float64),
        )
        signals = Signals(arrays["signals.time_s"], tuple(header["signals"]), arrays["signals.values"])
        events = tuple(GaitEvent(**event) for event in header["events"])
        return Recording(trajectories, events, signals, header["source"], header["quality"])
    except Exception as error:  # safetensors raises its own type; every cause means the same to the caller
        raise GaitkeeperError("recording-damaged", detail=str(error)) from error


def _safetensors_metadata(data: bytes) -> dict[str, str]:
    # The library reads metadata from files only. Format: 8 bytes little-endian header length, JSON header, data.
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError("no safetensors header")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
