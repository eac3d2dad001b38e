"""An estimate that nothing was chosen on: settings are chosen anew, for each person, without that person.

In each fold over people the learning rate, the clip norm and the number of rounds are chosen by a cross-validation
among the others, under the same noise; where the scales of a model's features came from the people measured on
(``strides``), they are taken from the others, too. What cannot be chosen anew is which features there are.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tomli_w
from tests.learning.heads import People, train
from tests.learning.ways import FOLDS, SITES, Way, first_head, sites_of, variant

from gaitkeeper_server.rounds.rehearsal_plan import stratified
from gaitkeeper_server.rounds.rehearsal_score import Scores, auc, balanced_accuracy, score
from gaitkeeper_shared.arrays import FloatArray, IntArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.study import Study

SEEDS, INNER_FOLDS, INNER_DRAWS = 3, 3, 2
RATES, CLIPS, LENGTHS = (0.5, 1.0, 2.0), (0.25, 0.5, 1.0), (0.5, 1.0, 2.0)
"""Learning rates, clip norms, and rounds as multiples of the study's."""
SCALED_ON_THEM = frozenset({"strides"})


def settings(data: bytes, way: Way) -> Iterator[Study]:
    """Everything that might have been chosen in place of what the study says."""
    table = tomllib.loads(data.decode("utf-8"))
    for rate, clip, length in itertools.product(RATES, CLIPS, LENGTHS):
        training: Mapping[str, Any] = table["training"]
        kept = training.get("calibration", 0)
        rounds = max(1, round(length * (training["rounds"] - kept))) + kept
        changed = {
            **table,
            "training": {**training, "learning_rate": rate, "rounds": rounds},
            "privacy": {**table["privacy"], "clip_norm": clip},
        }
        yield variant(tomli_w.dumps(changed).encode("utf-8"), way)


def nested(data: bytes, people: People, start: ModelBundle, way: Way) -> Scores:
    """The scores of a way whose settings were chosen without whom they judge."""
    choices, labels = list(settings(data, way)), len(start.spec.labels)
    runs = [_one_seed(choices, people, start, way, seed) for seed in range(SEEDS)]
    study = variant(data, way)
    return score(people.classes, runs, labels, study.training.class_weights, study.task.certain_from)


def _one_seed(choices: list[Study], people: People, start: ModelBundle, way: Way, seed: int) -> FloatArray:
    random = np.random.default_rng([seed, 31])
    folds, site_of = stratified(people.classes, FOLDS, seed), sites_of(people.classes, way, seed)
    first = first_head(start, seed)
    judged = np.zeros((people.classes.size, len(start.spec.labels)))
    for fold in range(FOLDS):
        own = np.flatnonzero(folds != fold)
        seen = _scaled(people, own) if start.spec.kind in SCALED_ON_THEM else people
        found = [_inner(choice, seen.take(own), site_of[own], first, random) for choice in choices]
        best = choices[int(np.argmax(found))]
        head = _trained(best, seen, own, site_of, first, random)
        test = np.flatnonzero(folds == fold)
        judged[test] = seen.take(test).probabilities(head)
    return judged


def _inner(choice: Study, people: People, site_of: IntArray, first: FloatArray, random: np.random.Generator) -> float:
    """How good a setting is among these people: balanced accuracy, and the area where two are as good."""
    worth = []
    for draw in range(INNER_DRAWS):
        folds = stratified(people.classes, INNER_FOLDS, 100 + draw)
        judged = np.zeros((people.classes.size, first.shape[0]))
        for fold in range(INNER_FOLDS):
            head = _trained(choice, people, np.flatnonzero(folds != fold), site_of, first, random)
            test = np.flatnonzero(folds == fold)
            judged[test] = people.take(test).probabilities(head)
        worth.append(balanced_accuracy(people.classes, judged) + 1e-3 * auc(people.classes, judged))
    return float(np.mean(worth))


def _trained(
    choice: Study, people: People, own: IntArray, site_of: IntArray, first: FloatArray, random: np.random.Generator
) -> FloatArray:
    sites = [people.take(own[site_of[own] == site]) for site in range(SITES)]
    return train(choice, sites, first, random)


def _scaled(people: People, own: IntArray) -> People:
    """Everybody, in the mean and the standard deviation of the people ``own``; the ones for the bias stay."""
    share = people.share[own][..., None]
    features = people.features[own]
    mean = (features * share).sum(axis=(0, 1)) / share.sum()
    spread = np.sqrt(((features - mean) ** 2 * share).sum(axis=(0, 1)) / share.sum())
    mean[-1], spread[-1] = 0.0, 1.0
    scaled = np.where(people.share[..., None] > 0, (people.features - mean) / np.maximum(spread, 1e-6), 0.0)
    return People(scaled, people.share, people.classes)
