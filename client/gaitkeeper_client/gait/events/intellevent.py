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
from gaitkeeper_client.gait.events.base import peaks
from gaitkeeper_client.gait.events.markers import walkers_frame
from gaitkeeper_client.gait.events.order import enforce_order
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import EventType, GaitEvent, JointTrajectories

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_PROBABILITY = 0.2
APART_S = 1.0 / 6.0
"""Both as in the authors' program."""
MARKERS = ("left_heel", "left_toe", "left_ankle", "right_heel", "right_toe", "right_ankle")
_FILES: dict[EventType, str] = {"foot_strike": "ic_intellevent.onnx", "foot_off": "fo_intellevent.onnx"}


@dataclass(frozen=True, slots=True)
class IntellEvent:
    """``tracks``: cleaned 3-D tracks, of which the bouts are parts."""

    tracks: JointTrajectories
    name: str = "intellevent-gaitkit-1.5"

    def detect(self, bout: Bout) -> tuple[GaitEvent, ...]:
        """Events of one straight walk over ground. Raises ``events-network-missing``."""
        time_s, tracks = walkers_frame(self.tracks, bout, MARKERS)
        # Walks were towards the negative first axis where the networks learned; the second axis points to the right.
        velocity = np.gradient(tracks * np.array([-1.0, -1.0, 1.0]), axis=0)
        backward, right, up = (velocity[..., axis] for axis in range(3))
        left_ahead = tracks[:, 0, 0] > tracks[:, 3, 0]
        channels: dict[EventType, tuple[FloatArray, ...]] = {
            "foot_strike": (backward, up),
            "foot_off": (backward, right, up),
        }
        found: list[GaitEvent] = []
        for kind, parts in channels.items():
            probability = _run(_FILES[kind], np.concatenate(parts, axis=1))
            for peak in peaks(time_s, probability, LEAST_PROBABILITY, APART_S):
                left = bool(left_ahead[peak.index]) == (kind == "foot_strike")
                sure = float(np.clip(probability[peak.index], 0.0, 1.0))
                found.append(GaitEvent(peak.time_s, "left" if left else "right", kind, sure))
        return enforce_order(found)


def _run(file: str, channels: FloatArray) -> FloatArray:
    """(T,) probability of an event from (T, C) velocities, each channel stretched to 0.1..1.1 as in training."""
    span = np.ptp(channels, axis=0)
    scaled = (channels - channels.min(axis=0)) / np.where(span == 0.0, 1.0, span) + 0.1
    answer = _network(file).run(None, {"input_1": scaled[None].astype(np.float32)})[0]
    return np.asarray(answer, dtype=np.float64)[0, :, 1]


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
