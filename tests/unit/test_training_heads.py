"""The fast copy of the private steps that the table of ``docs/learning.md`` is made with, against the code of sites."""

from __future__ import annotations

import numpy as np
import pytest
from tests.learning.heads import People, initial_head, train

from gaitkeeper_client.training.rehearsal import provider
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalRun
from gaitkeeper_shared.study import parse_study, study_hash

STUDY = b"""
name = "heads-test"
[task]
labels = ["healthy", "ill", "other"]
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
kind = "symmetry"
[training]
rounds = 6
learning_rate = 2.0
momentum = 0.9
average = 0.5
class_weights = [1.0, 0.4, 0.7]
[privacy]
epsilon = inf
delta = 1e-2
clip_norm = 0.3
sample_rate = 1.0
patients_per_site = 8
"""


def people(count: int) -> list[RehearsalPerson]:
    random = np.random.default_rng(2)
    return [
        RehearsalPerson(f"p{i:02d}", "", i % 3, (random.normal(size=(1 + i % 4, 10, 3)) + i % 3).astype(np.float32))
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("trust", "rounds"),
    [(b"local", b"6"), (b"distributed", b"6"), (b"distributed", b"9\ncalibration = 3\ncalibration_rate = 4.0")],
)
def test_without_noise_it_makes_the_same_head(trust: bytes, rounds: bytes) -> None:
    data = STUDY.replace(b"rounds = 6", b"rounds = " + rounds) + b'trust = "' + trust + b'"\n[federation]\nquorum = 3\n'
    study, spec = parse_study(data), ModelSpec.of(parse_study(data), study_hash(data))
    cohort = people(17)
    sites = {"a": cohort[:6], "b": cohort[6:7], "c": cohort[7:]}
    run = RehearsalRun("s0-all", data, frozenset(person.person for person in cohort))
    expected = repeat(run, sites, provider, lambda _: None)
    start = ModelBundle.initial(spec)
    groups = [People.of(members, start) for members in sites.values()]
    found = train(study, groups, initial_head(spec), np.random.default_rng(0), everybody=True)
    np.testing.assert_allclose(found[:, :-1], expected.weights["head.weight"], atol=1e-5)
    np.testing.assert_allclose(found[:, -1], expected.weights["head.bias"], atol=1e-5)
    probabilities = groups[2].probabilities(found)
    np.testing.assert_allclose(probabilities[0], expected.predict_person(cohort[7].windows), atol=1e-5)


def test_its_noise_is_as_large_as_the_studys() -> None:
    data = STUDY.replace(b"epsilon = inf", b"epsilon = 8.0").replace(b"rounds = 6", b"rounds = 1") + (
        b'trust = "distributed"\n[federation]\nquorum = 3\n'
    )
    study, spec = parse_study(data), ModelSpec.of(parse_study(data), study_hash(data))
    empty = People.of(people(1), ModelBundle.initial(spec)).take(np.empty(0, dtype=np.int64))
    random = np.random.default_rng(1)
    moves = [train(study, [empty] * 3, np.zeros((3, 3)), random) for _ in range(300)]
    of_mean = plan(study).site_noise_multiplier * 0.3 / 8.0 / np.sqrt(3) * 2.0
    assert np.std(moves) == pytest.approx(of_mean, rel=0.05)
