"""A rehearsal: a study's real rounds on Flower's simulation engine, over data that the coordinator may see.

The ServerApp's conductor and journal and the client's ClientApp are the deployment's. What differs: sites are simulated
nodes of one machine, nobody has to approve, and the coordinator judges the models itself on people left out. The first
repetition goes this way; further ones, which only differ in splits and noise, repeat its arithmetic without messages
(``rehearsal_repeat``).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_server.pretraining.start import first_weights
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.engine import simulate
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.rehearsal_plan import PlannedRehearsal, RehearsalOptions, plan_rehearsal
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_server.rounds.rehearsal_score import Scores, score
from gaitkeeper_server.rounds.rehearsal_severity import SeverityScores, severity_score
from gaitkeeper_server.rounds.roster import Presence, Roster
from gaitkeeper_server.rounds.states import RunState
from gaitkeeper_server.rounds.trained import trained_bundle
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.rehearsal import (
    ROLL_CALL,
    ROLL_KEY,
    ROLL_RECORD,
    RehearsalPerson,
    RehearsalPlan,
    RehearsalProvider,
)
from gaitkeeper_shared.study import Study, parse_study, study_hash

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid

ROLL_CALL_S = 300.0
"""Deadline for the simulated nodes to come up and tell their names: minutes where the machine is busy."""

Judged = Scores | SeverityScores
"""Scores of a task that tells labels apart, or of one that tells a severity."""

Progress = Callable[[int, int], None]
"""Called with rounds done and in all."""


@dataclass(frozen=True, slots=True)
class RehearsalReport:
    """What a rehearsal found. ``bundle``: trained on everybody, first seed (not the best one: that would be tuning)."""

    epsilon: float
    delta: float
    noise_multiplier: float
    rounds: int
    sites: Mapping[str, int]
    people: int
    labels: Mapping[str, int]
    cross_validation: Judged | None
    holdout: Judged | None
    seconds: float
    bundle: ModelBundle


class _Progress:
    """Counts the rounds of all runs, wherever they are done."""

    def __init__(self, tell: Progress, rounds: int) -> None:
        self._tell, self._rounds, self._done = tell, rounds, 0

    def __call__(self, _round: int) -> None:
        self._done += 1
        self._tell(self._done, self._rounds)


def rehearse(
    study: Study,
    study_data: bytes,
    provider: RehearsalProvider,
    people: Sequence[RehearsalPerson],
    holdout: Sequence[RehearsalPerson],
    options: RehearsalOptions,
    on_progress: Progress,
    start: ModelBundle | None = None,
) -> RehearsalReport:
    """Run all rounds of all runs, and judge them. ``start``: what pretraining made. Raises catalogue errors."""
    from gaitkeeper_shared.privacy.plan import plan as privacy_plan

    started = time.monotonic()
    planned = plan_rehearsal(study, study_data, people, options)
    price = privacy_plan(parse_study(planned.plan.runs[0].study)).train
    progress = _Progress(on_progress, len(planned.plan.runs) * study.training.rounds)
    first, further = planned.split()
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-rehearsal-") as name:
        folder = Path(name)
        journal = Journal(folder / "journal.sqlite")
        _simulate(first, provider, journal, folder, progress, start)
        bundles = {run.name: _trained(journal, run.name) for run in first.runs}
        epsilon = _epsilon(journal, first)
    for run in further.runs:
        bundles[run.name] = repeat(run, further.sites, provider, progress, start)
    ours = planned.seeds
    return RehearsalReport(
        epsilon=epsilon if options.privacy else math.inf,
        delta=study.privacy.delta,
        noise_multiplier=0.0 if price is None else price.noise_multiplier,
        rounds=study.training.rounds,
        sites={site: len(members) for site, members in planned.plan.sites.items()},
        people=len(people),
        labels=_counts(study, people),
        cross_validation=_cross_validated(planned, people, bundles, study) if options.folds else None,
        holdout=_judged(holdout, [bundles[seed.whole] for seed in ours], study),
        seconds=time.monotonic() - started,
        bundle=ModelBundle(ModelSpec.of(study, study_hash(study_data)), bundles[ours[0].whole].weights),
    )


# -- the simulation


def _simulate(
    plan: RehearsalPlan,
    provider: RehearsalProvider,
    journal: Journal,
    folder: Path,
    on_round: Callable[[int], None],
    start: ModelBundle | None,
) -> None:
    from flwr.serverapp import ServerApp

    for run in plan.runs:
        journal.request_run(run.name, run.study, tuple(plan.sites))
        spec = ModelSpec.of(parse_study(run.study), study_hash(run.study))
        journal.set_initial_weights(run.name, first_weights(spec, start))
    people = folder / "people"
    people.mkdir(mode=0o700)
    client_app = provider.client_app(plan, people)
    failures: list[BaseException] = []
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        # Flower's simulation logs an exception of this thread and goes on; we want to know.
        try:
            roster = _roll_call(grid, len(plan.sites))
            for run in plan.runs:
                Conductor(grid, journal, run.name, roster=roster, pace=Pace(poll_s=0.01), on_round=on_round).conduct()
        except BaseException as error:
            failures.append(error)
            raise

    simulate(server_app, client_app, len(plan.sites))
    if failures:
        raise GaitkeeperError("rehearsal-failed", detail=str(failures[0]) or type(failures[0]).__name__) from failures[
            0
        ]


def _roll_call(grid: Grid, sites: int) -> Roster:
    """Ask every simulated node for its name, because the engine numbers nodes at random."""
    from flwr.app import Message, RecordDict

    deadline = time.monotonic() + ROLL_CALL_S
    while len(nodes := sorted(grid.get_node_ids())) < sites:
        if time.monotonic() > deadline:
            raise GaitkeeperError("timeout", what="Starting the simulation", seconds=ROLL_CALL_S, hint="Try again.")
        time.sleep(0.05)
    pending = set(grid.push_messages([Message(RecordDict(), node, ROLL_CALL) for node in nodes]))
    known: dict[str, Presence] = {}
    while pending:
        for reply in grid.pull_messages(list(pending)):
            pending.discard(reply.metadata.reply_to_message_id)
            if reply.has_error():
                raise GaitkeeperError("rehearsal-failed", detail=reply.error.reason or "a site could not be started")
            name = reply.content[ROLL_RECORD][ROLL_KEY]
            known[str(name)] = Presence(reply.metadata.src_node_id, "")
        if time.monotonic() > deadline:
            raise GaitkeeperError("timeout", what="Starting the simulation", seconds=ROLL_CALL_S, hint="Try again.")
        time.sleep(0.02)
    return lambda _grid: known


# -- what came out


def _trained(journal: Journal, run: str) -> ModelBundle:
    record = journal.run(run)
    if record.state is not RunState.SUCCEEDED:
        raise GaitkeeperError("rehearsal-failed", detail=f"run {run} {record.state}: {record.detail}")
    return trained_bundle(journal, run)


def _epsilon(journal: Journal, plan: RehearsalPlan) -> float:
    """The most that any site reported in any run."""
    last = [journal.rounds(run.name)[-1].number for run in plan.runs]
    outcomes = [o for run, number in zip(plan.runs, last, strict=True) for o in journal.outcomes(run.name, number)]
    return max(outcome.epsilon_spent for outcome in outcomes)


def _cross_validated(
    planned: PlannedRehearsal, people: Sequence[RehearsalPerson], bundles: Mapping[str, ModelBundle], study: Study
) -> Judged:
    by_name = {person.person: index for index, person in enumerate(people)}
    by_seed = []
    for seed in planned.seeds:
        answers = np.zeros((len(people), 1 if study.task.values else len(study.task.labels)))
        for run, test in seed.folds:
            judged = [people[by_name[name]] for name in test]
            answers[[by_name[name] for name in test]] = _answers(bundles[run], judged)
        by_seed.append(answers)
    return _scored(people, by_seed, study)


def _judged(people: Sequence[RehearsalPerson], bundles: Sequence[ModelBundle], study: Study) -> Judged | None:
    if not people:
        return None
    return _scored(people, [_answers(bundle, people) for bundle in bundles], study)


def _scored(people: Sequence[RehearsalPerson], by_seed: Sequence[FloatArray], study: Study) -> Judged:
    task, classes = study.task, np.array([person.class_index for person in people])
    if task.values:
        return severity_score(np.asarray(task.values)[classes], [answers[:, 0] for answers in by_seed])
    return score(classes, by_seed, len(task.labels), study.training.class_weights, task.certain_from)


def _answers(bundle: ModelBundle, people: Sequence[RehearsalPerson]) -> FloatArray:
    return np.stack([bundle.predict_person(person.windows) for person in people]).astype(np.float64)


def _counts(study: Study, people: Sequence[RehearsalPerson]) -> dict[str, int]:
    return {
        label: sum(person.class_index == index for person in people) for index, label in enumerate(study.task.labels)
    }
