"""Walks with a planted difference, and a small model that learned it: shared by the tests of explanation and report."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import torch

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.gait.pipeline import analyse
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_client.insight.phases import side_phases
from gaitkeeper_shared.kinematics import sagittal_plane
from gaitkeeper_shared.models.bundle import ModelBundle, weights_of
from gaitkeeper_shared.models.channels import CHANNELS, feature_signals
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.windows import cut_windows
from gaitkeeper_shared.recording import GaitEvent, Recording
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.study import Input

PLANTED_CHANNEL = "knee_flexion_left"
PLANTED_PHASE = (0.60, 0.80)
PLANTED_DEGREES = -25.0
INPUT = Input(channels=tuple(channel.name for channel in CHANNELS))


@cache
def walk_analysis(disorder: str = "healthy", seed: int = 0) -> Analysis:
    """An analysed synthetic walk of 12 s."""
    walk = Walk(draw_patient("x", disorder, seed), 12.0)  # type: ignore[arg-type]
    return analyse(walk.trajectories(60.0), source={"kind": "simulation", "sha256": "ab" * 32}, height_m=1.7)


@cache
def walk_recording(seed: int) -> Recording:
    """A healthy walk's exact signals and events: what is tested here is not how events are found."""
    walk = Walk(draw_patient("x", "healthy", seed), 12.0)
    tracks = walk.trajectories(50.0)
    signals = feature_signals(tracks.time_s, sagittal_plane(tracks.positions, (1.0, 0.0)))
    events = [
        GaitEvent(float(time), side, "foot_strike", 1.0)
        for side in ("left", "right")
        for time in walk.footprints.side(side).strike_s
        if 0.0 <= time <= 12.0
    ]
    return Recording(tracks, tuple(events), signals, {"kind": "simulation"}, {})


def analysis_of(recording: Recording) -> Analysis:
    """An analysis that holds the recording and nothing else."""
    return Analysis("analysed", (), recording.source, {}, recording.events, (), recording.quality, recording)


def planted(recording: Recording) -> Recording:
    """The recording with the left knee bent less in early swing, and nothing else changed."""
    signals = recording.signals
    at = side_phases(signals.time_s, recording.events, "left")
    inside = (at.phase >= PLANTED_PHASE[0]) & (at.phase < PLANTED_PHASE[1])
    values = signals.values.copy()
    values[inside, signals.names.index(PLANTED_CHANNEL)] += PLANTED_DEGREES
    return dataclasses.replace(recording, signals=dataclasses.replace(signals, values=values))


@cache
def planted_model() -> ModelBundle:
    """An LSTM that tells walks with the planted difference from walks without, trained on eight walkers."""
    spec = ModelSpec("lstm", 12, 1, 0, "all", INPUT, ("usual", "planted"), "0" * 64)
    inputs, targets = [], []
    for seed in range(8):
        recording = walk_recording(seed)
        for label, changed in enumerate((recording, planted(recording))):
            cuts = cut_windows(changed.signals, INPUT)
            inputs.append(cuts)
            targets.append(np.full(cuts.shape[0], label))
    windows = torch.from_numpy(np.concatenate(inputs))
    labels = torch.from_numpy(np.concatenate(targets))
    torch.manual_seed(0)
    model = ModelBundle.initial(spec).module().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(windows), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return ModelBundle(spec, weights_of(model))


@cache
def planted_findings() -> Findings:
    """What the small model says about a walk with the planted difference."""
    bundle = planted_model()
    return judge(analysis_of(planted(walk_recording(42))), bundle, card_of(bundle, "7", sha256="cd" * 32))
