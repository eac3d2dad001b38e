"""The model that a run made: the one that is evaluated at its end and the one that is registered are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.aggregate import mean_of_updates
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from gaitkeeper_shared.models.bundle import ModelBundle


def trained_weights(journal: Journal, run: str) -> Weights:
    """Weights of the last committed round, or the mean of the last ones' (``training.average``)."""
    study, _ = journal.study(run)
    committed = min(journal.run(run).committed, study.training.rounds)
    return mean_of_updates(journal.checkpoints(run, max(1, committed - averaged_rounds(study, committed) + 1)))


def averaged_rounds(study: Study, committed: int) -> int:
    """How many of the last rounds' models are averaged, after ``committed`` rounds.

    Rounds that calibrate are averaged among themselves: they started from the average of those that trained.
    """
    training = study.training
    before = training.rounds - training.calibration
    return max(1, round(training.average * (committed - before if committed > before else committed)))


def trained_bundle(journal: Journal, run: str) -> ModelBundle:
    """The same as a model with its specification."""
    from gaitkeeper_shared.models.bundle import ModelBundle
    from gaitkeeper_shared.models.spec import ModelSpec

    study, _ = journal.study(run)
    return ModelBundle(ModelSpec.of(study, journal.run(run).study_hash), trained_weights(journal, run))
