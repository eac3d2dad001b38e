"""A walk says who walks; what a site sends does not, beyond the bound that its noise gives."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from gaitkeeper_client.lab.readers import read_walk
from gaitkeeper_client.proof.identity import identification_bound, rank_one
from gaitkeeper_client.training.dataset import Person, SiteDataset
from gaitkeeper_client.training.dpsgd import correct_people, train_private
from gaitkeeper_client.training.site_round import _evaluate, steps_of
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.channels import feature_signals
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.windows import windows_of_person
from gaitkeeper_shared.privacy.accounting import Spend
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.recording import JointTrajectories, Signals
from gaitkeeper_shared.skeleton import JOINT_INDEX
from gaitkeeper_shared.study import Study, parse_study, study_hash

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data")) / "clinic-bvh"
STUDY = b"""
name = "identity-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left", "knee_flexion_left", "hip_flexion_right", "knee_flexion_right", "pelvis_speed"]
rate_hz = 20.0
window_s = 2.0
max_windows = 4
[model]
hidden = 8
[training]
rounds = 20
[privacy]
epsilon = 8.0
delta = 3e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 10
[federation]
aggregation = "plain"
"""
DRAWS = 6
SEGMENTS = [(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))]
SEGMENTS += [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow")]


@pytest.fixture(scope="module")
def walks() -> tuple[list[JointTrajectories], list[JointTrajectories]]:
    """Two walks of each person, in the same order."""
    files = sorted(DATA.glob("*_Cycle1.bvh"))
    if not files:
        pytest.skip(f"needs the recordings in {DATA}")
    first, second = (
        [read_walk(file.with_name(file.name.replace("1.bvh", f"{n}.bvh"))) for file in files] for n in "12"
    )
    return [walk.trajectories for walk in first], [walk.trajectories for walk in second]


def body(walk: JointTrajectories) -> np.ndarray:  # type: ignore[type-arg]
    """Lengths of a few segments, as anybody reads them off keypoints."""
    points = walk.positions
    lengths = [np.linalg.norm(points[:, JOINT_INDEX[a]] - points[:, JOINT_INDEX[b]], axis=1) for a, b in SEGMENTS]
    return np.nanmedian(np.array(lengths), axis=1)


def signals(walk: JointTrajectories) -> Signals:
    """The feature channels in the plane of progression."""
    hips = walk.positions[:, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]], :2].mean(axis=1)
    forward = hips[-1] - hips[0]
    forward /= np.linalg.norm(forward)
    return feature_signals(walk.time_s, np.stack([walk.positions[..., :2] @ forward, walk.positions[..., 2]], axis=-1))


def movement(walk: JointTrajectories) -> np.ndarray:  # type: ignore[type-arg]
    """Range and mean of each joint angle: the walk itself, without the body's size."""
    values = signals(walk).values
    return np.concatenate([np.nanstd(values, axis=0), np.nanmean(values, axis=0)])


def scaled(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    both = np.concatenate([a, b])
    used = np.isfinite(both).all(axis=0) & (both.std(axis=0) > 0)
    return tuple((part[:, used] - both[:, used].mean(axis=0)) / both[:, used].std(axis=0) for part in (a, b))  # type: ignore[return-value]


def test_keypoints_say_who_walks(walks: tuple[list[JointTrajectories], list[JointTrajectories]]) -> None:
    bodies = [np.array([body(walk) for walk in side]) for side in walks]
    moves = [np.array([movement(walk) for walk in side]) for side in walks]
    people = len(walks[0])
    assert people >= 30
    assert rank_one(*scaled(*bodies)) > 6 / people
    assert rank_one(*scaled(*moves)) > 16 / people
    assert rank_one(*scaled(*(np.hstack(pair) for pair in zip(bodies, moves, strict=True)))) > 16 / people


def updates(study: Study, people: list[Person], *, noise: bool, rounds: int = 1) -> np.ndarray:  # type: ignore[type-arg]
    """(people, parameters): what a site with this one person alone would send, of one round of the study; or how the
    released model, after some rounds, differs from the first one."""
    model = ModelBundle.initial(ModelSpec.of(study, study_hash(STUDY))).module()
    steps = dataclasses.replace(steps_of(study, plan(study)), steps=rounds)
    if not noise:
        steps = dataclasses.replace(steps, noise_multiplier=0.0, sample_rate=1.0)
    start = [parameter.detach().clone() for parameter in model.private_parameters()]
    rows = []
    for person in people:
        train_private(model, (person,), steps)
        moved = [new.detach() - old for old, new in zip(start, model.private_parameters(), strict=True)]
        rows.append(torch.cat([part.flatten() for part in moved]).numpy())
        with torch.no_grad():
            for parameter, value in zip(model.private_parameters(), start, strict=True):
                parameter.copy_(value)
    return np.array(rows, dtype=np.float64)


@pytest.fixture(scope="module")
def people(walks: tuple[list[JointTrajectories], list[JointTrajectories]]) -> tuple[list[Person], list[Person]]:
    """Everybody's first walk, and their second, as training sees them."""
    study = parse_study(STUDY)
    groups = [
        [Person(str(n), 0, windows_of_person([signals(walk)], study.input)) for n, walk in enumerate(side)]
        for side in walks
    ]
    usable = [n for n in range(len(groups[0])) if all(group[n].windows.shape[0] for group in groups)]
    gallery, probes = ([group[n] for n in usable] for group in groups)
    return gallery, probes


def test_what_a_site_sends_does_not(people: tuple[list[Person], list[Person]]) -> None:
    study = parse_study(STUDY)
    gallery, probes = people
    known = updates(study, gallery, noise=False)
    bare = rank_one(known, updates(study, probes, noise=False))
    sent = np.mean([rank_one(known, updates(study, probes, noise=True)) for _ in range(DRAWS)])
    price = plan(study).train
    assert price is not None
    bound = identification_bound([price], len(gallery))
    assert bare > 4 / len(gallery)  # without noise the update itself gives people away
    assert bound < 0.5
    # 0.12: five standard deviations of the mean of so many guesses, were they right as often as the bound allows.
    assert sent <= bound + 0.12
    assert sent < bare


def test_the_released_model_does_not(people: tuple[list[Person], list[Person]]) -> None:
    """After all rounds the bound of epsilon 8 says nothing about so few people; what the noise does is measured."""
    study = parse_study(STUDY)
    gallery, probes = (group[:12] for group in people)
    rounds = study.training.rounds
    known = updates(study, gallery, noise=False, rounds=rounds)
    bare = rank_one(known, updates(study, probes, noise=False, rounds=rounds))
    released = np.mean([rank_one(known, updates(study, probes, noise=True, rounds=rounds)) for _ in range(3)])
    price = plan(study).train
    assert price is not None
    assert released <= identification_bound([price] * rounds, len(gallery))
    assert bare > 3 / len(gallery)
    # 36 guesses, right by chance once in 12: 4.6 standard deviations more.
    assert released <= 0.3


def test_the_counts_of_an_evaluation_do_not(people: tuple[list[Person], list[Person]]) -> None:
    """Of one person kept out the counts say: here or not, judged right or not; who that is, they cannot."""
    study = parse_study(STUDY)
    prices = plan(study)
    assert prices.evaluate is not None
    model = ModelBundle.initial(ModelSpec.of(study, study_hash(STUDY))).module()
    right = np.array([correct_people(model, (person,)) for person in people[0]])
    bound = identification_bound([prices.evaluate] * prices.evaluations, len(right))
    generator = np.random.default_rng(5)
    hits, trials = 0, 0
    for index, person in enumerate(people[1]):
        for _ in range(4):
            seen = _evaluate(model, study, SiteDataset((), (person,)), prices)
            guess = generator.choice(
                np.flatnonzero(right == (seen["correct"] > 0.5 * seen["evaluated"])).tolist() or [0]
            )
            hits, trials = hits + (guess == index), trials + 1
    assert hits / trials <= bound + 5 * math.sqrt(bound / trials)


@pytest.mark.long
def test_the_bound_grows_with_what_is_spent_and_never_below_chance() -> None:
    few, many = (identification_bound([Spend(2.0, 0.5, steps)], 30) for steps in (1, 200))
    assert 1 / 30 <= few < many <= 1.0
    assert identification_bound([Spend(0.5, 1.0, 100)], 30) == 1.0
    with np.testing.assert_raises(AssertionError):
        assert rank_one(np.eye(3), np.eye(3)[::-1]) == 1.0
    assert rank_one(np.eye(3), np.eye(3)) == 1.0
