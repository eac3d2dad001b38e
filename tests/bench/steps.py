"""The work of one training step: 16 patients x 8 windows x 100 samples x 36 channels, LSTM of 64 units.

The same patients, drawn from a seed, and the same sizes for each of three ways to take a step: without privacy, as a
site takes it, and as Opacus takes it with its own LSTM.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from torch import nn

from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_shared.models.objective import Objective
from gaitkeeper_shared.models.registry import GaitModel, TemporalEncoder, build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Input

PATIENTS, WINDOWS, SAMPLES, CHANNELS, HIDDEN = 16, 8, 100, 36, 64
WORK = f"{PATIENTS} patients x {WINDOWS} windows x {SAMPLES} samples x {CHANNELS} channels, LSTM {HIDDEN}"
RATE, MOMENTUM, CLIP_NORM, NOISE_MULTIPLIER = 0.1, 0.9, 1.0, 1.0
STEPS = 5
"""Steps of one timed call: few, as in a round, so that what a call sets up counts."""
CORES = 2
FEWEST, LONGEST_S = 5, 60.0

Step = Callable[[], None]


def use_two_cores() -> None:
    """The arithmetic of every way on the same, stated number of cores."""
    torch.set_num_threads(min(CORES, os.cpu_count() or 1))


def patients() -> tuple[Person, ...]:
    """The same patients in every run."""
    generator = np.random.default_rng(20)
    return tuple(
        Person(f"p{i}", i % 2, generator.normal(size=(WINDOWS, SAMPLES, CHANNELS)).astype(np.float32))
        for i in range(PATIENTS)
    )


def model() -> GaitModel:
    """The model of a study with these sizes."""
    channels = tuple(f"channel_{number}" for number in range(CHANNELS))
    window = Input(channels=channels, rate_hz=50.0, window_s=SAMPLES / 50.0)
    return build(ModelSpec("lstm", HIDDEN, 1, 3, "all", window, ("healthy", "patient"), "0" * 64))


def private_steps() -> Step:
    """A site's own steps; everybody is drawn, so that the work is the same in each."""
    people, trained = patients(), model()
    steps = PrivateSteps(STEPS, RATE, MOMENTUM, CLIP_NORM, 1.0, float(PATIENTS), NOISE_MULTIPLIER)
    return lambda: _ignore(train_private(trained, people, steps))


def plain_steps() -> Step:
    """Steps without privacy: all windows as one batch, one backward pass."""
    windows, labels = _one_batch()
    trained = model()
    return _loop(trained, torch.optim.SGD(trained.parameters(), lr=RATE, momentum=MOMENTUM), windows, labels)


class _DpLstmEncoder(TemporalEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.width = HIDDEN
        self.cells = DPLSTM(CHANNELS, HIDDEN, batch_first=True)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.cells(windows)
        mean: torch.Tensor = outputs.mean(dim=1)
        return mean


def opacus_steps() -> Step:
    """Steps of Opacus as its users take them: DPLSTM, a gradient for each window, its clipping and its noise."""
    windows, labels = _one_batch()
    torch.manual_seed(3)
    # Opacus' own hooks cause it; it says nothing about the gradients of parameters.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    trained = GradSampleModule(GaitModel(_DpLstmEncoder(), Objective(2), "all"))
    optimizer = DPOptimizer(
        torch.optim.SGD(trained.parameters(), lr=RATE, momentum=MOMENTUM),
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=CLIP_NORM,
        expected_batch_size=PATIENTS * WINDOWS,
    )
    return _loop(trained, optimizer, windows, labels)


def seconds_per_step(steps: Step) -> float:
    """Seconds of one step, over one timed call."""
    started = time.perf_counter()
    steps()
    return (time.perf_counter() - started) / STEPS


def interleaved(first: Step, second: Step, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds per step of both, called in turn; fewer repeats where a busy machine makes them take too long."""
    deadline = time.monotonic() + LONGEST_S
    seconds_per_step(first)
    seconds_per_step(second)  # both are warm now
    ours: list[float] = []
    theirs: list[float] = []
    while len(ours) < repeats and (len(ours) < FEWEST or time.monotonic() < deadline):
        ours.append(seconds_per_step(first))
        theirs.append(seconds_per_step(second))
    return ours, theirs


def _one_batch() -> tuple[torch.Tensor, torch.Tensor]:
    people = patients()
    windows = torch.from_numpy(np.concatenate([person.windows for person in people]))
    labels = torch.tensor([person.class_index for person in people]).repeat_interleave(WINDOWS)
    return windows, labels


def _loop(trained: nn.Module, optimizer: torch.optim.Optimizer, windows: torch.Tensor, labels: torch.Tensor) -> Step:
    def steps() -> None:
        trained.train()
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(trained(windows), labels).backward()  # type: ignore[no-untyped-call]  # not typed in torch
            optimizer.step()

    return steps


def _ignore(_: object) -> None:
    return
