"""Models to explain, of every kind that learns its own features: five kinds of simulated walkers told apart."""

from __future__ import annotations

import numpy as np
import torch

from gaitkeeper_client.explained.walks import simulated_walk
from gaitkeeper_shared.models.bundle import ModelBundle, weights_of
from gaitkeeper_shared.models.channels import CHANNELS
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.windows import placed_windows
from gaitkeeper_shared.simulation.patient import DISORDERS
from gaitkeeper_shared.study import Input

INPUT = Input(channels=tuple(channel.name for channel in CHANNELS))
KINDS = ("lstm", "gru", "tcn", "transformer")
WALKERS, SECONDS, EPOCHS, RATE, BATCH = 5, 8.0, 40, 0.01, 128
_FIRST, _FIRST_HELD_OUT = 100, 200


def windows_of(first: int, walkers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, T, C) windows of that many walkers with each disorder, and their (N,) labels."""
    inputs, targets = [], []
    for label, disorder in enumerate(DISORDERS):
        for seed in range(first, first + walkers):
            windows = placed_windows(simulated_walk(disorder, seed, SECONDS).signals(), INPUT)[1]
            inputs.append(windows)
            targets.append(np.full(windows.shape[0], label))
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(targets))


def untrained(kind: str) -> ModelBundle:
    """The model before any training: a release that nobody should make, and whose explanations should not pass."""
    return ModelBundle.initial(ModelSpec(kind, 32, 1, 0, "all", INPUT, tuple(DISORDERS), "0" * 64))


def trained(kind: str) -> tuple[ModelBundle, float]:
    """A trained model, and the share of the windows of other walkers that it gets right."""
    torch.manual_seed(0)
    bundle = untrained(kind)
    model = bundle.module().train()
    inputs, targets = windows_of(_FIRST, WALKERS)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    order = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs), generator=order).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()
    held_out, labels = windows_of(_FIRST_HELD_OUT, 2)
    with torch.inference_mode():
        right = float((model(held_out).argmax(dim=1) == labels).float().mean())
    return ModelBundle(bundle.spec, weights_of(model)), right
