"""The arithmetic of a run without its messages, ledger and journal: for repetitions with other splits and other noise.

The site's private steps and the mean are the functions that the deployment uses; without noise and draws the result is,
bit for bit, that of the same run on the simulation engine (a test holds it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gaitkeeper_server.pretraining.start import first_weights
from gaitkeeper_server.rounds.aggregate import mean_of_updates, with_momentum
from gaitkeeper_server.rounds.trained import averaged_rounds
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalProvider, RehearsalRun
from gaitkeeper_shared.study import Study, momentum_at_coordinator, parse_study, study_hash


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
    for number in range(1, study.training.rounds + 1):
        mean = mean_of_updates([train(states[-1]) for train in trainers])
        states.append(_with_momentum(study, states, mean))
        on_round(number)
    averaged = averaged_rounds(study, study.training.rounds)
    return ModelBundle(spec, mean_of_updates(states[-averaged:]))


def _with_momentum(study: Study, states: Sequence[Weights], mean: Weights) -> Weights:
    if not momentum_at_coordinator(study) or study.training.momentum == 0 or len(states) < 2:
        return mean
    return with_momentum(mean, states[-1], states[-2], study.training.momentum)
