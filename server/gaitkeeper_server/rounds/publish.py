"""From the journal to MLflow: the metrics of each committed round, and the model that came out of a run.

Everything is derived from the journal, so that a registry that was away for a while is caught up with later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from statistics import fmean

from gaitkeeper_server.registry.registry import MetricPoint, Registry
from gaitkeeper_server.rounds.grades import grade_scores
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Outcome, RoundRecord, RoundState, RunState, SiteOutcome
from gaitkeeper_server.rounds.trained import trained_bundle
from gaitkeeper_shared.federation import METRIC_NAMES


def publish_run(journal: Journal, registry: Registry, run: str) -> int | None:
    """Log all rounds of a run that has ended; register its model where it has one. Returns the version's number."""
    record = journal.run(run)
    _, study_data = journal.study(run)
    if record.published:
        return record.model_version
    points = [point for item in journal.rounds(run) for point in round_points(item, journal.outcomes(run, item.number))]
    registry.log(run, study_data, points, record.state)
    if record.state not in (RunState.SUCCEEDED, RunState.DEGRADED):
        journal.set_published(run, None)
        return None
    version = registry.register(trained_bundle(journal, run), study_data, (), final_metrics(journal, run), run=run)
    journal.set_published(run, version)
    return version


def round_points(item: RoundRecord, outcomes: tuple[SiteOutcome, ...]) -> Iterator[MetricPoint]:
    """The metrics of one round: per site and over all sites. ``site_seconds``: from question to answer."""
    if item.state is not RoundState.COMMITTED or item.finished_at is None:
        return
    moment = datetime.fromisoformat(item.finished_at).timestamp()

    def point(name: str, value: float) -> MetricPoint:
        return MetricPoint(name, value, item.number, moment)

    included = [outcome for outcome in outcomes if outcome.outcome is Outcome.INCLUDED]
    yield point("sites_included", float(len(included)))
    yield point("round_seconds", moment - datetime.fromisoformat(item.started_at).timestamp())
    for outcome in included:
        yield point(f"epsilon_spent.{outcome.site}", outcome.epsilon_spent)
        yield point(f"site_seconds.{outcome.site}", outcome.seconds)
        for name in METRIC_NAMES:
            if (value := outcome.metrics.get(name)) is not None and math.isfinite(value):
                yield point(f"{name}.{outcome.site}", value)
    if included:
        yield point("epsilon_spent.max", max(outcome.epsilon_spent for outcome in included))
        yield point("delta", max(outcome.delta for outcome in included))
        yield point("site_seconds.mean", fmean(outcome.seconds for outcome in included))
    if (accuracy := pooled_accuracy(included)) is not None:
        # The evaluated model is the one that came in: that of the round before.
        yield MetricPoint("noised_accuracy", accuracy, item.number - 1, moment)


def pooled_accuracy(outcomes: list[SiteOutcome]) -> float | None:
    """Share of held-out patients judged right, from the sums of the sites' noised counts, clipped to [0, 1].

    None where nothing was evaluated, or where the noise would drown the number: three deviations of it reach the count.
    """
    evaluated = [o for o in outcomes if "evaluated" in o.metrics and "correct" in o.metrics]
    total = sum(o.metrics["evaluated"] for o in evaluated)
    deviation = sum(o.metrics.get("noise_std", 0.0) ** 2 for o in evaluated) ** 0.5
    if not evaluated or total <= 3 * deviation or total <= 0:
        return None
    return min(1.0, max(0.0, sum(o.metrics["correct"] for o in evaluated) / total))


def final_metrics(journal: Journal, run: str) -> dict[str, float]:
    """What is worth telling beside a version: rounds, sites, epsilon spent at which delta, the last noised accuracy, or
    error and rank correlation of a severity."""
    metrics: dict[str, float] = {}
    study, _ = journal.study(run)
    for item in journal.rounds(run):
        included = [o for o in journal.outcomes(run, item.number) if o.outcome is Outcome.INCLUDED]
        if item.state is not RoundState.COMMITTED or not included:
            continue
        metrics["sites"] = float(len(included))
        metrics["epsilon_spent"] = max(o.epsilon_spent for o in included)
        metrics["delta"] = max(o.delta for o in included)
        if (accuracy := pooled_accuracy(included)) is not None:
            metrics["noised_accuracy"] = accuracy
            metrics["evaluating_sites"] = float(sum("evaluated" in o.metrics for o in included))
        if (graded := grade_scores(included, study.task.values)) is not None:
            metrics["noised_mean_absolute_error"] = graded.mean_absolute_error
            metrics["noised_rank_correlation"] = graded.rank_correlation
            metrics["evaluating_sites"] = float(sum("noise_std" in o.metrics for o in included))
    metrics["rounds"] = float(journal.run(run).committed)
    return metrics


def main() -> None:
    """Entry point of the child process: publish one run, or only make the registry's database."""
    import logging
    import sys
    from pathlib import Path

    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.cli import quiet_environment
    from gaitkeeper_shared.errors import GaitkeeperError
    from gaitkeeper_shared.processes import read_settings

    quiet_environment()
    settings = read_settings()
    registry = Registry(CoordinatorHome(Path(settings["home"])))
    try:
        if settings["run"]:
            publish_run(Journal(Path(settings["journal"])), registry, settings["run"])
        else:
            registry.prepare()
    except GaitkeeperError as error:
        logging.getLogger("gaitkeeper.registry").error("%s", error)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
