"""Strategies by name: momentum at the sites or at the coordinator, and the pull of FedProx."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_client.training.rehearsal import provider
from gaitkeeper_client.training.site_round import steps_of
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalRun
from gaitkeeper_shared.study import Input, parse_study

STUDY = b"""
name = "strategy-test"
[task]
labels = ["healthy", "ill"]
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
kind = "symmetry"
[training]
rounds = 5
momentum = 0.8
[privacy]
epsilon = inf
delta = 1e-2
clip_norm = 0.5
sample_rate = 1.0
patients_per_site = 6
"""


def trained(strategy: str, momentum: float = 0.8) -> Float32Array:
    data = STUDY.replace(b"momentum = 0.8", f'momentum = {momentum}\nstrategy = "{strategy}"'.encode())
    random = np.random.default_rng(4)
    people = [
        RehearsalPerson(f"p{i}", "", i % 2, (random.normal(size=(2, 10, 3)) + i % 2).astype(np.float32))
        for i in range(9)
    ]
    run = RehearsalRun("s0-all", data, frozenset(person.person for person in people))
    weights = repeat(run, {"a": people[:4], "b": people[4:]}, provider, lambda _: None).weights
    return np.asarray(weights["head.weight"])


def test_momentum_at_the_coordinator_is_that_of_sites_which_are_always_there() -> None:
    np.testing.assert_allclose(trained("fedavgm"), trained("fedavg"), atol=1e-5)
    assert not np.allclose(trained("fedavgm"), trained("fedavgm", 0.0), atol=1e-3)


def test_sites_have_no_momentum_where_the_coordinator_has_it() -> None:
    data = STUDY.replace(b"momentum = 0.8", b'momentum = 0.8\nstrategy = "fedavgm"')
    for study, expected in ((parse_study(STUDY), 0.8), (parse_study(data), 0.0)):
        assert steps_of(study, plan(study)).momentum == expected


def test_a_pulled_step_is_the_private_step_and_the_way_back_to_the_rounds_model() -> None:
    window = Input(channels=("hip_flexion_left", "hip_flexion_right", "pelvis_speed"), rate_hz=10.0, window_s=1.0)
    spec = ModelSpec("symmetry", 1, 1, 3, "all", window, ("healthy", "ill"), "0" * 64)
    random = np.random.default_rng(1)
    people = [Person(f"p{i}", i % 2, random.normal(size=(2, 10, 3)).astype(np.float32)) for i in range(4)]
    pulled, slow = build(spec), build(spec)
    origin = {name: tensor.clone() for name, tensor in slow.state_dict().items()}
    steps = PrivateSteps(3, 0.5, 0.0, 0.4, 1.0, 2.0, 0.0, (), 0.6)
    train_private(pulled, people, steps)
    for _ in range(3):
        before = {name: tensor.clone() for name, tensor in slow.state_dict().items()}
        train_private(slow, people, dataclasses.replace(steps, steps=1, proximal=0.0))
        with torch.no_grad():
            for name, parameter in slow.named_parameters():
                parameter -= 0.5 * 0.6 * (before[name] - origin[name])
    for name, tensor in pulled.state_dict().items():
        torch.testing.assert_close(tensor, slow.state_dict()[name], atol=1e-5, rtol=0)
    plain = build(spec)
    train_private(plain, people, dataclasses.replace(steps, proximal=0.0))
    moved = [float((model.head.weight.detach() - origin["head.weight"]).norm()) for model in (pulled, plain)]
    assert moved[0] < moved[1]


@pytest.mark.parametrize("lines", [b"proximal = 0.1", b'strategy = "fedprox"', b'strategy = "fedprox"\nproximal = 9.0'])
def test_a_pull_belongs_to_fedprox_and_must_not_overshoot(lines: bytes) -> None:
    with pytest.raises(GaitkeeperError) as error:
        parse_study(STUDY.replace(b"momentum = 0.8", b"momentum = 0.8\n" + lines))
    assert error.value.code == "study-bad-value"
