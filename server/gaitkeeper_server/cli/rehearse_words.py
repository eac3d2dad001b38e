"""What a rehearsal found, as JSON and in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gaitkeeper_server.rounds.rehearsal_score import Score, Scores

if TYPE_CHECKING:
    from gaitkeeper_server.rounds.rehearsal import Judged, RehearsalReport
    from gaitkeeper_shared.study import Study

_WORDS = {
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "mean_absolute_error": "mean absolute error",
    "rank_correlation": "rank correlation",
}


def as_json(report: RehearsalReport, study: Study, version: int, left_out: tuple[str, ...]) -> dict[str, Any]:
    """JSON values only; key by key as documented with the command."""
    return {
        "schema": "gaitkeeper.rehearsal/1",
        "epsilon": report.epsilon if math.isfinite(report.epsilon) else None,
        "delta": report.delta,
        "noise_multiplier": report.noise_multiplier,
        "rounds": report.rounds,
        "sites": len(report.sites),
        "people_by_site": dict(report.sites),
        "people": report.people,
        "labels": dict(report.labels),
        "model_version": version,
        "cross_validation": _scores_json(report.cross_validation),
        "holdout": _scores_json(report.holdout),
        "seconds": round(report.seconds, 1),
        "deployment_holdout": study.evaluation.holdout,
        "left_out": list(left_out),
    }


def measures(scores: Judged) -> dict[str, Score]:
    """What was measured, by its name: of labels, or of a severity."""
    if isinstance(scores, Scores):
        return {"balanced_accuracy": scores.balanced_accuracy, "auc": scores.auc}
    return {"mean_absolute_error": scores.mean_absolute_error, "rank_correlation": scores.rank_correlation}


def _scores_json(scores: Judged | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    table: dict[str, Any] = {}
    for name, item in measures(scores).items():
        table[name] = _finite(item.value)
        table[f"{name}_ci95"] = [_finite(item.low), _finite(item.high)]
    table |= {"sd_over_seeds": scores.sd_over_seeds, "n_people": scores.people, "seeds": scores.seeds}
    table["chance"] = scores.chance
    if isinstance(scores, Scores):
        told = scores.calibration
        table["calibration_error"] = _finite(told.expected_error)
        table["log_loss"] = _finite(told.log_loss)
        table["certain"] = _finite(told.certain)
        table["certain_accuracy"] = None if told.certain_accuracy is None else _finite(told.certain_accuracy)
    return table


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def print_report(report: RehearsalReport, study: Study, version: int, left_out: tuple[str, ...]) -> None:
    """The report on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    judged = {"cross-validation": report.cross_validation, "hold-out": report.holdout}
    found = {what: scores for what, scores in judged.items() if scores is not None}
    table = Table(title=f"Rehearsal of {study.name}: {report.people} people at {len(report.sites)} sites")
    names = [name for scores in list(found.values())[:1] for name in measures(scores)]
    for column in ("judged on", "people", *(c for name in names for c in (_WORDS[name], "95 % interval"))):
        table.add_column(column)
    for what, scores in found.items():
        cells = [cell for item in measures(scores).values() for cell in (f"{item.value:.2f}", _range(item))]
        table.add_row(what, str(scores.people), *cells)
    console.print(table)
    console.print("People: " + ", ".join(f"{count} {label}" for label, count in report.labels.items()))
    for scores in list(found.values())[:1]:
        seeds = f"; mean of {scores.seeds} seeds, standard deviation {scores.sd_over_seeds:.2f}"
        console.print(f"Chance: {scores.chance:.2f}" + (seeds if scores.seeds > 1 else "; one seed only"))
    for what, scores in found.items():
        if isinstance(scores, Scores):
            console.print(f"Probabilities, {what}: {_calibration(scores)}", highlight=False)
    if (kept := study.evaluation.holdout) > 0:
        console.print(
            f"Everybody trains here. In the deployment each site keeps {kept:.0%} of its patients out of training to "
            "evaluate on: it learns from fewer people than this.",
            highlight=False,
        )
    if math.isfinite(report.epsilon):
        price = f"epsilon {report.epsilon:.2f} at delta {report.delta:g} for each patient trained on"
        seen_by = "the masked sum of the sites" if study.privacy.trust == "distributed" else "each site's updates"
        console.print(f"Privacy: {price}, noise multiplier {report.noise_multiplier:g}, {report.rounds} rounds")
        console.print(
            f"That is the price of one run, against whoever sees {seen_by}. These scores, and what is chosen by "
            "them, are in no epsilon.",
            highlight=False,
        )
    else:
        console.print("Privacy: NONE (no noise); only for comparison, no site would run this")
    console.print(f"Time: {report.seconds:.0f} s. Registered as model version {version}.")
    if left_out:
        console.print(f"Left out ({len(left_out)}):")
        for line in left_out[:10]:
            console.print(f"  {line}", highlight=False)


def _calibration(scores: Scores) -> str:
    told = scores.calibration
    words = f"off by {told.expected_error:.2f} on average, log loss {told.log_loss:.2f}"
    if told.certain_accuracy is None:
        return words + "; certain of nobody"
    return words + f"; certain of {told.certain:.0%} of people, right about {told.certain_accuracy:.0%} of these"


def _range(score: Score) -> str:
    return f"{score.low:.2f} to {score.high:.2f}"
