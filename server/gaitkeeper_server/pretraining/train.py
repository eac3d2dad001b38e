"""Trains a study's encoder to tell the disorders of synthetic patients apart: the weights of its first round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from gaitkeeper_server.pretraining.synthetic import SyntheticWindows, synthetic_windows
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle, weights_of
from gaitkeeper_shared.models.channels import CHANNELS
from gaitkeeper_shared.models.registry import GaitModel, best_device, build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.simulation.patient import DISORDERS

JUDGED = 0.2
"""Share of the synthetic patients that only judge."""
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-3


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """``patients``: synthetic ones. ``steps``: of the optimiser. ``seed``: everything random follows from it."""

    patients: int = 300
    steps: int = 600
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Pretrained:
    """``bundle``: the study's first weights; its head is untrained. ``accuracy``: share of windows of synthetic
    patients kept out whose disorder is told right; chance is the share of the healthy, about one half."""

    bundle: ModelBundle
    accuracy: float
    windows: int
    device: str


def pretrain(
    spec: ModelSpec, options: PretrainOptions, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Pretrained:
    """Pretrain ``spec``'s encoder. ``on_progress``: patients done and in all.

    Raises ``pretrain-nothing`` where the encoder has nothing to learn or the simulator does not know a channel.
    """
    known = {channel.name for channel in CHANNELS}
    if unknown := [name for name in spec.input.channels if name not in known]:
        raise GaitkeeperError("pretrain-nothing", why=f"synthetic patients have no {', '.join(unknown)}")
    if not any(True for _ in build(spec).encoder.parameters()):
        raise GaitkeeperError("pretrain-nothing", why=f"a model of kind {spec.kind!r} has no weights before its head")
    data = synthetic_windows(spec.input, options.patients, options.seed, on_progress)
    model, accuracy = _train(spec, data, options)
    initial = ModelBundle.initial(spec).weights
    weights = {name: array if name.startswith("head.") else weights_of(model)[name] for name, array in initial.items()}
    return Pretrained(ModelBundle(spec, weights), accuracy, data.windows.shape[0], str(best_device()))


def _train(spec: ModelSpec, data: SyntheticWindows, options: PretrainOptions) -> tuple[GaitModel, float]:
    device = best_device()
    # Adapters stay at zero: they are for what private steps add to this.
    told = replace(spec, labels=DISORDERS, values=(), trained="encoder+head")
    model = build(told).to(device)
    judged = np.isin(data.patients, np.unique(data.patients)[:: round(1 / JUDGED)])
    windows, classes = torch.from_numpy(data.windows).to(device), torch.from_numpy(data.classes).to(device)
    train = np.flatnonzero(~judged)
    random = np.random.default_rng(options.seed)
    optimizer = torch.optim.AdamW(list(model.private_parameters()), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    model.train()
    for _ in range(options.steps):
        batch = torch.from_numpy(random.choice(train, BATCH)).to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(windows[batch]), classes[batch])
        loss.backward()  # type: ignore[no-untyped-call]  # not typed in torch
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.inference_mode():
        kept = torch.from_numpy(np.flatnonzero(judged)).to(device)
        right = model(windows[kept]).argmax(dim=1) == classes[kept]
    return model, float(right.float().mean())
