"""The ways of learning that are compared: alone, together, with and without noise; cross-validated over people."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tomli_w
from tests.learning.heads import People, initial_head, train

from gaitkeeper_server.rounds.rehearsal_plan import stratified
from gaitkeeper_server.rounds.rehearsal_score import Scores, score
from gaitkeeper_shared.arrays import FloatArray, IntArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Study, parse_study

SEEDS, FOLDS, SITES = 20, 5, 3
MOSTLY = 0.8
"""Share of a label's people whom class-skewed clinics have in one clinic."""


@dataclass(frozen=True, slots=True)
class Way:
    """``sites``: random, skewed, alone, alone-skewed or central. ``epsilon``: infinite without privacy."""

    name: str
    sites: str
    epsilon: float = math.inf
    trust: str = "local"


def ways() -> Iterator[Way]:
    """One row of the table each."""
    yield Way("central, without privacy", "central")
    for skewed, words in (("", "random clinics"), ("-skewed", "class-skewed clinics")):
        yield Way(f"each clinic alone, without privacy, {words}", "alone" + skewed)
        place = "skewed" if skewed else "random"
        yield Way(f"federated, without privacy, {words}", place)
        for epsilon in (8.0, 2.0):
            for trust in ("local", "distributed"):
                yield Way(f"federated, epsilon {epsilon:g}, {trust} noise, {words}", place, epsilon, trust)


def measured(data: bytes, people: People, start: ModelBundle, way: Way) -> Scores:
    """The scores of one way, over all seeds."""
    study = variant(data, way)
    labels = len(study.task.labels)
    # A clinic alone is judged by itself; the scores are then those of a clinic taken at random.
    runs = [run for seed in range(SEEDS) for run in _one_seed(study, people, start, way, seed)]
    return score(people.classes, runs, labels, study.training.class_weights, study.task.certain_from)


def variant(data: bytes, way: Way) -> Study:
    """The study as it would be for this way of learning."""
    table = tomllib.loads(data.decode("utf-8"))
    table["evaluation"] = {**table.get("evaluation", {}), "holdout": 0.0}
    table["privacy"] = {**table["privacy"], "epsilon": way.epsilon, "trust": way.trust}
    table["federation"] = {**table["federation"], "quorum": SITES}
    if way.sites == "central":
        table["privacy"]["patients_per_site"] *= SITES
    return parse_study(tomli_w.dumps(table).encode("utf-8"))


def without_calibration(data: bytes) -> bytes:
    """The same study with all its rounds spent on training; the same bytes where it calibrates in none."""
    table = tomllib.loads(data.decode("utf-8"))
    if not table["training"].pop("calibration", 0):
        return data
    return tomli_w.dumps(table).encode("utf-8")


def _one_seed(study: Study, people: People, start: ModelBundle, way: Way, seed: int) -> list[FloatArray]:
    """(N, L) probabilities of everybody, each judged by a model that has not seen them; one array per clinic alone."""
    random = np.random.default_rng([seed, 17])
    folds = stratified(people.classes, FOLDS, seed)
    site_of = sites_of(people.classes, way, seed)
    first = first_head(start, seed)
    alone = way.sites.startswith("alone")
    groups = [[site] for site in range(SITES)] if alone else [sorted(set(site_of.tolist()))]
    judged = [np.zeros((people.classes.size, len(study.task.labels))) for _ in groups]
    for fold in range(FOLDS):
        test = folds == fold
        for group, probabilities in zip(groups, judged, strict=True):
            sites = [people.take(np.flatnonzero(~test & (site_of == site))) for site in group]
            head = train(study, sites, first, random)
            probabilities[test] = people.take(np.flatnonzero(test)).probabilities(head)
    return judged


def first_head(start: ModelBundle, seed: int) -> FloatArray:
    """The head that a repetition starts from."""
    spec = start.spec
    return initial_head(ModelSpec.from_json({**spec.to_json(), "seed": spec.seed + seed}))


def sites_of(classes: IntArray, way: Way, seed: int) -> IntArray:
    """(N,) clinic of each person."""
    if way.sites == "central":
        return np.zeros_like(classes)
    dealt = stratified(classes, SITES, np.random.SeedSequence(seed, spawn_key=(1,)))
    if not way.sites.endswith("skewed"):
        return dealt
    random = np.random.default_rng([seed, 23])
    # Where there are fewer labels than clinics, further clinics mostly have people of the last label.
    homes = np.minimum(np.arange(SITES), classes.max())
    for index in np.unique(classes):
        own = np.flatnonzero(homes == index) if index < SITES else np.array([index % SITES])
        members = np.flatnonzero(classes == index)
        moved = members[random.random(members.size) < MOSTLY]
        dealt[moved] = own[np.arange(moved.size) % own.size]
    return dealt
