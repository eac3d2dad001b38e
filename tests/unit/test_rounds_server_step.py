"""What the coordinator makes of a mean: Adam as Flower's strategy of that name, across restarts and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.serverapp.strategy import FedAdam

from gaitkeeper_client.training.rehearsal import provider
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_server.rounds.server_step import server_step
from gaitkeeper_server.rounds.trained import averaged_rounds
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalRun
from gaitkeeper_shared.study import parse_study

STUDY = b"""
name = "step-test"
[task]
labels = ["healthy", "ill"]
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
kind = "symmetry"
[training]
rounds = 6
average = 0.5
momentum = 0.8
strategy = "fedadam"
server_learning_rate = 0.3
second_momentum = 0.95
adaptivity = 0.01
[privacy]
epsilon = inf
delta = 1e-2
clip_norm = 0.5
sample_rate = 1.0
patients_per_site = 6
"""


def reply(weights: Weights) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(value) for name, value in weights.items()}),
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    # Flower's public constructors ask which task of a run they are in.
    about = Metadata(1, "m", 2, 1, "r", "", 0.0, 10.0, "train")
    return Message(metadata=about, content=content)  # type: ignore[call-overload,no-any-return]


def test_adam_is_flowers_and_goes_on_from_the_journal(tmp_path: Path) -> None:
    study, random = parse_study(STUDY), np.random.default_rng(3)
    shapes = {"head.weight": (2, 3), "head.bias": (2,)}
    current = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    flower = FedAdam(eta=0.3, beta_1=0.8, beta_2=0.95, tau=0.01)
    theirs = {name: value.astype(np.float64) for name, value in current.items()}
    journal = Journal(tmp_path / "journal.sqlite")
    journal.request_run("r", STUDY, ("a", "b"), current)
    for number in range(1, 5):
        change = {name: random.normal(size=shape) * 0.1 for name, shape in shapes.items()}
        flower.current_arrays = theirs
        mean = {name: theirs[name] + change[name] for name in shapes}
        record, _ = flower.aggregate_train(number, [reply(mean)])
        assert record is not None
        theirs = {name: array.numpy() for name, array in record.items()}
        mean = {name: (current[name] + change[name]).astype(np.float32) for name in shapes}
        journal.open_round("r", number, ("a", "b"))
        stepped = server_step(study, number, mean, current, None, journal.optimiser_state("r"))
        journal.commit_round("r", number, stepped.weights, stepped.state)
        journal = Journal(tmp_path / "journal.sqlite")  # as after a restart
        current = dict(journal.checkpoints("r", number).__next__())
        for name in shapes:
            np.testing.assert_allclose(current[name], theirs[name], atol=2e-5)


def people(count: int) -> list[RehearsalPerson]:
    random = np.random.default_rng(4)
    return [
        RehearsalPerson(f"p{i}", "", i % 2, (random.normal(size=(2, 10, 3)) + i % 2).astype(np.float32))
        for i in range(count)
    ]


@pytest.mark.parametrize("strategy", ["fedadam", "fedavgm"])
def test_calibration_starts_from_the_average_and_only_scales_and_shifts_the_head(strategy: str) -> None:
    cohort = people(10)
    sites = {"a": cohort[:5], "b": cohort[5:]}
    data = STUDY.replace(b'"fedadam"', f'"{strategy}"'.encode())
    run = RehearsalRun("s0-all", data, frozenset(person.person for person in cohort))
    plain = repeat(run, sites, provider, lambda _: None).weights
    longer = data.replace(b"rounds = 6", b"rounds = 8\ncalibration = 2\ncalibration_rate = 4.0")
    mended = repeat(RehearsalRun("s0-all", longer, run.people), sites, provider, lambda _: None).weights
    factor = mended["head.weight"] / plain["head.weight"]
    np.testing.assert_allclose(factor, factor.flat[0], rtol=1e-4)
    assert factor.flat[0] != pytest.approx(1.0, abs=1e-3)
    shift = mended["head.bias"] - factor.flat[0] * plain["head.bias"]
    assert shift.sum() == pytest.approx(0.0, abs=1e-5)  # offsets of two labels move against each other


def test_rounds_that_calibrate_are_averaged_among_themselves() -> None:
    study = parse_study(STUDY.replace(b"rounds = 6", b"rounds = 10\ncalibration = 4"))
    assert [averaged_rounds(study, done) for done in (4, 6, 7, 8, 10)] == [2, 3, 1, 1, 2]
    assert [study.training.calibrates(number) for number in (6, 7, 10, 11)] == [False, True, True, False]
