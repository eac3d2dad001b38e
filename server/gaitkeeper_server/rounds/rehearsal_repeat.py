"""The arithmetic of a run without its messages, ledger and journal: for repetitions with other splits and other noise.

The site's private steps and the mean are the functions that the deployment uses; without noise and draws the result is,
bit for bit, that of the same run on the simulation engine (a test holds it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gaitkeeper_server.pretraining.start import first_weights
from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_server.rounds.server_step import State, server_step
from gaitkeeper_server.rounds.trained import averaged_rounds
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalProvider, RehearsalRun
from gaitkeeper_shared.study import Study, parse_study, study_hash


def repeat(
    run: RehearsalRun,
    sites: Mapping[str, Sequence[RehearsalPerson]],
    provider: RehearsalProvider,
    on_round: Callable[[int], None],
    start: ModelBundle | None = None,
) -> ModelBundle:
    """All rounds of one run. ``on_round`` is called with each round's number; ``start``: what pretraining made."""
    study, spec = parse_study(run.study), ModelSpec.of(parse_study(run.study), study_hash(run.study))
    trainers = [
        provider.trainer(run.study, [person for person in sites[site] if person.person in run.people])
        for site in sorted(sites)
    ]
    states: list[Weights] = [first_weights(spec, start)]
    kept: State = {}
    for number in range(1, study.training.rounds + 1):
        begins = study.training.calibrates(number) and not study.training.calibrates(number - 1)
        current = _averaged(study, states) if begins else states[-1]
        mean = mean_of_updates([train(current) for train in trainers])
        stepped = server_step(study, number, mean, current, states[-2] if number > 1 else None, kept)
        kept = stepped.state
        states.append(stepped.weights)
        on_round(number)
    return ModelBundle(spec, _averaged(study, states))


def _averaged(study: Study, states: Sequence[Weights]) -> Weights:
    """The mean of the last rounds' weights; ``states``: those of all rounds until now, and the first ones."""
    return mean_of_updates(states[-averaged_rounds(study, len(states) - 1) :])
