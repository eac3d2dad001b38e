"""Events of laboratory markers by IntellEvent, two recurrent networks trained on the force plates of a clinic.

Dumphart et al. 2023, doi:10.1371/journal.pone.0288555; the networks (CC BY 4.0) are files of the package ``gaitkit``
(MIT), read from there and run with onnxruntime. gaitkit's own door to them is not used: it installs packages and
downloads files by itself, rounds times up to whole frames, and its result depends on where the laboratory has its
origin. Here the walk is turned into the networks' frame, and times are those of the probability's peaks, between
samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.gait.bouts import Bout
from gaitkeeper_client.gait.clean import low_pass
from gaitkeeper_client.gait.events.base import peaks
from gaitkeeper_client.gait.events.local import RATE_HZ, LocalWalk, local_walk, straight
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_PROBABILITY = 0.2
APART_S = 1.0 / 6.0
"""Both as in the authors' program."""
HELD = round(0.2 * RATE_HZ)
"""Samples by which the last velocities are held: the networks want to see some of what follows an event."""
MARKERS = ("left_heel", "left_toe", "left_ankle", "right_heel", "right_toe", "right_ankle")
STRIKE_CUTOFF_HZ = 6.0
"""Of the speeds that the strikes' network sees. Unsmoothed it errs by 3 ms, but by 10 where markers have 1 mm of noise;
smoothed by 6 and 8, and what the foot's motion makes of it by 3 and 4 (else 3 and 6)."""
_LEFT, _RIGHT = slice(0, 3), slice(3, 6)
SWING = round(0.15 * RATE_HZ)
"""Samples over which the feet's speeds are compared; less than the shortest swing."""
_FILES: dict[EventType, str] = {"foot_strike": "ic_intellevent.onnx", "foot_off": "fo_intellevent.onnx"}


@dataclass(frozen=True, slots=True)
class IntellEvent:
    """``tracks``: cleaned 3-D tracks, of which the bouts are parts."""

    tracks: JointTrajectories
    name: str = "intellevent-gaitkit-1.5"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk. Raises ``events-network-missing``."""
        walk = local_walk(self.tracks, bout.start, bout.stop, straight(bout), MARKERS, RATE_HZ)
        return enforce_order(network_events(walk))


def network_events(walk: LocalWalk) -> list[GaitEvent]:
    """All that the networks see in a walk of :data:`MARKERS` at 150 Hz, in no order; nothing where a marker is missing.

    The belt of a treadmill changes nothing: each velocity is stretched to the same range. Raises
    ``events-network-missing``.
    """
    if not np.isfinite(walk.velocity).all():
        return []
    # Walks were towards the negative first axis where the networks learned; the second axis points to the right.
    velocity = walk.velocity * np.array([-1.0, -1.0, 1.0])
    backward, right, up = (velocity[..., axis] for axis in range(3))
    lead = np.cumsum(walk.velocity[:, _LEFT, 0].mean(axis=1) - walk.velocity[:, _RIGHT, 0].mean(axis=1))
    channels: dict[EventType, tuple[FloatArray, ...]] = {
        "foot_strike": (backward, up),
        "foot_off": (backward, right, up),
    }
    found: list[GaitEvent] = []
    for kind, parts in channels.items():
        speeds = np.concatenate(parts, axis=1)
        if kind == "foot_strike":
            speeds = low_pass(speeds, RATE_HZ, STRIKE_CUTOFF_HZ)
        probability = _run(_FILES[kind], speeds)
        for peak in peaks(walk.time_s, probability, LEAST_PROBABILITY, APART_S):
            # The foot that strikes has swung until now, the one that comes off swings from now on. Which one is ahead
            # does not tell: a dragged leg may never pass the other.
            other = peak.index + (-SWING if kind == "foot_strike" else SWING)
            gained = lead[int(np.clip(other, 0, lead.size - 1))] - lead[peak.index]
            left = bool(gained < 0.0) if kind == "foot_strike" else bool(gained > 0.0)
            sure = float(np.clip(probability[peak.index], 0.0, 1.0))
            found.append(GaitEvent(peak.time_s, "left" if left else "right", kind, sure))
    return found


def _run(file: str, channels: FloatArray) -> FloatArray:
    """(T,) probability of an event from (T, C) velocities, each channel stretched to 0.1..1.1 as in training."""
    span = np.ptp(channels, axis=0)
    scaled = (channels - channels.min(axis=0)) / np.where(span == 0.0, 1.0, span) + 0.1
    held = np.pad(scaled, ((0, HELD), (0, 0)), mode="edge")
    answer = _network(file).run(None, {"input_1": held[None].astype(np.float32)})[0]
    return np.asarray(answer, dtype=np.float64)[0, : scaled.shape[0], 1]


@cache
def _network(file: str) -> InferenceSession:
    import onnxruntime

    package = find_spec("gaitkit")  # found, not imported: the package's own imports take a second
    path = Path(next(iter(package.submodule_search_locations or ())), "data", file) if package else Path(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own for a damaged file
        raise GaitkeeperError("events-network-missing", path=path, detail=str(error).splitlines()[0]) from error
