"""Plans a rehearsal: people over sites, people over folds, and a study of its own for every run."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tomli_w

from gaitkeeper_shared.arrays import IntArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalPlan, RehearsalRun
from gaitkeeper_shared.study import Study, parse_study


@dataclass(frozen=True, slots=True)
class RehearsalOptions:
    """``sites``: how many, where the cohort has no ``site`` column. ``folds``: of the cross-validation over people;
    0 for none. ``seeds``: repetitions with other splits, first weights and noise. ``privacy``: False switches the noise
    off, for comparison."""

    sites: int = 3
    folds: int = 5
    seeds: int = 1
    privacy: bool = True


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """The runs of one repetition: one per fold with the people it is judged on, and one trained on everybody."""

    folds: tuple[tuple[str, tuple[str, ...]], ...]
    whole: str


@dataclass(frozen=True, slots=True)
class PlannedRehearsal:
    """A plan, and which run is judged on whom."""

    plan: RehearsalPlan
    seeds: tuple[SeedRuns, ...]

    def split(self) -> tuple[RehearsalPlan, RehearsalPlan]:
        """The runs of the first repetition and those of all others."""
        first = {self.seeds[0].whole, *(run for run, _ in self.seeds[0].folds)}
        ours = tuple(run for run in self.plan.runs if run.name in first)
        others = tuple(run for run in self.plan.runs if run.name not in first)
        return RehearsalPlan(self.plan.sites, ours), RehearsalPlan(self.plan.sites, others)


def plan_rehearsal(
    study: Study, study_data: bytes, people: Sequence[RehearsalPerson], options: RehearsalOptions
) -> PlannedRehearsal:
    """Plan it. Raises ``rehearsal-too-few`` where a class cannot be both trained on and judged in every fold."""
    classes = np.array([person.class_index for person in people], dtype=np.int64)
    _check(study, classes, options)
    sites = _sites(people, classes, options)
    names = [person.person for person in people]
    everybody = frozenset(names)
    runs: list[RehearsalRun] = []
    seeds = []
    for seed in range(options.seeds):
        folds = stratified(classes, options.folds, seed) if options.folds else np.zeros(0, dtype=np.int64)
        judged = []
        for fold in range(options.folds):
            test = tuple(name for name, own in zip(names, folds, strict=True) if own == fold)
            run = f"s{seed}-f{fold}"
            data = rehearsal_study(study_data, run, seed, len(sites), privacy=options.privacy)
            runs.append(RehearsalRun(run, data, everybody - set(test)))
            judged.append((run, test))
        whole = f"s{seed}-all"
        data = rehearsal_study(study_data, whole, seed, len(sites), privacy=options.privacy)
        runs.append(RehearsalRun(whole, data, everybody))
        seeds.append(SeedRuns(tuple(judged), whole))
    return PlannedRehearsal(RehearsalPlan(sites, tuple(runs)), tuple(seeds))


def stratified(classes: IntArray, groups: int, seed: int | np.random.SeedSequence) -> IntArray:
    """(N,) group of each of N people: every class is dealt over the groups as evenly as it goes.

    Two ways to divide the same people need different seeds, or their groups coincide.
    """
    random = np.random.default_rng(seed)
    dealt = np.empty(classes.size, dtype=np.int64)
    place = 0
    for index in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == index))
        dealt[members] = (place + np.arange(members.size)) % groups
        place += members.size  # go on where the last class ended, so that the groups' sizes stay even
    return dealt


def rehearsal_study(study_data: bytes, run: str, seed: int, sites: int, *, privacy: bool) -> bytes:
    """The study as one run of a rehearsal reads it.

    Nobody is held out at a site, because the coordinator itself judges; the first weights differ from seed to seed;
    without privacy epsilon is infinite. The quorum is every simulated site, but never more than the study's own where
    the sites share the noise: their shares are made for the quorum.
    """
    table = tomllib.loads(study_data.decode("utf-8"))
    study = parse_study(study_data)
    table["name"] = f"{study.name[: 62 - len(run)]}-{run}"
    table["evaluation"] = {**table.get("evaluation", {}), "holdout": 0.0}
    quorum = sites if study.privacy.trust == "local" else min(sites, study.federation.quorum)
    table["federation"] = {**table.get("federation", {}), "quorum": quorum, "threshold": 0}
    table["model"] = {**table.get("model", {}), "seed": study.model.seed + seed}
    if not privacy:
        table["privacy"] = {**table["privacy"], "epsilon": math.inf}
    return tomli_w.dumps(table).encode("utf-8")


def _sites(
    people: Sequence[RehearsalPerson], classes: IntArray, options: RehearsalOptions
) -> dict[str, tuple[RehearsalPerson, ...]]:
    named = {person.site for person in people}
    if named != {""}:
        if "" in named:
            lacking = next(person.person for person in people if not person.site)
            raise GaitkeeperError("rehearsal-site-column", person=lacking)
        return {site: tuple(p for p in people if p.site == site) for site in sorted(named)}
    # A stream of its own: drawn like the folds of seed 0, a site would be missing from the training of a fold.
    dealt = stratified(classes, options.sites, np.random.SeedSequence(0, spawn_key=(1,)))
    return {
        f"site-{site + 1}": tuple(person for person, own in zip(people, dealt, strict=True) if own == site)
        for site in range(options.sites)
    }


def _check(study: Study, classes: IntArray, options: RehearsalOptions) -> None:
    for index, label in enumerate(study.task.labels):
        count = int(np.sum(classes == index))
        needed = max(2, options.folds)
        if count < needed:
            raise GaitkeeperError("rehearsal-too-few", label=label, count=count, needed=needed)
