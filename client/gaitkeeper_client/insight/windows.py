"""The windows of a walk that a model is asked about, how many it takes to judge, and why there are too few."""

from __future__ import annotations

import numpy as np

from gaitkeeper_client.gait.analysis import Reason
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import Float32Array, FloatArray
from gaitkeeper_shared.models.channels import FORCE_CHANNELS
from gaitkeeper_shared.models.windows import MAX_MISSING, placed_windows
from gaitkeeper_shared.recording import Recording
from gaitkeeper_shared.study import Input

FEWEST_WINDOWS = 3
LONG_WINDOW_S = 60.0
"""A window of this length holds some fifty strides and is itself a mean over them: one is enough."""


def fewest_windows(window: Input) -> int:
    """How many windows it takes to judge a walk: :data:`FEWEST_WINDOWS`, or one of :data:`LONG_WINDOW_S` and more."""
    return 1 if window.window_s >= LONG_WINDOW_S else FEWEST_WINDOWS


def walk_windows(recording: Recording, window: Input) -> tuple[FloatArray, Float32Array]:
    """(N,) starts and (N, T, C) windows of the walk, thinned as in training, though never below what judging takes."""
    starts_s, windows = placed_windows(recording.signals, window)
    most = max(window.max_windows, fewest_windows(window))
    if windows.shape[0] > most:
        picked = np.linspace(0, windows.shape[0] - 1, most).round().astype(int)
        starts_s, windows = starts_s[picked], windows[picked]
    return starts_s, windows


def too_little(recording: Recording, window: Input, count: int) -> Reason | None:
    """Why ``count`` windows of this recording are too little to judge it by; None where they are enough."""
    needed = fewest_windows(window)
    if count >= needed:
        return None
    signals = recording.signals
    lacking = [name for name in window.channels if name not in signals.names]
    if len(lacking) > MAX_MISSING * len(window.channels):
        force = {channel.name for channel in FORCE_CHANNELS}
        kind = say("reasons.load") if force.issuperset(lacking) else say("reasons.movement")
        message = say("reasons.other_kind", kind=kind, lacking=", ".join(lacking))
        return Reason("channels-missing", message)
    if signals.time_s.size < 2:
        message = say("reasons.only_times")
        return Reason("series-missing", message)
    length_s = float(signals.time_s[-1] - signals.time_s[0])
    wanted_s = window.window_s + (needed - 1) * window.hop_s
    message = say(
        "reasons.too_short" if needed > 1 else "reasons.too_short_for_one",
        count=count,
        window_s=window.window_s,
        needed=needed,
        length_s=length_s,
        wanted_s=wanted_s,
    )
    return Reason("too-few-windows", message)
