"""``gaitkeeper coordinator`` rehearse: a study tried out on data the coordinator may see."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_server.registry.registry import Registry
    from gaitkeeper_server.rounds.rehearsal import RehearsalReport
    from gaitkeeper_server.rounds.rehearsal_score import Score, Scores
    from gaitkeeper_shared.models.bundle import ModelBundle
    from gaitkeeper_shared.rehearsal import RehearsalCohort, RehearsalProvider
    from gaitkeeper_shared.study import Study


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command("rehearse")(rehearse)


def rehearse(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    cohort: Annotated[Path, typer.Option(help="cohort.csv of recordings that the coordinator may see.")],
    holdout: Annotated[Path | None, typer.Option(help="cohort.csv of other people, only judged.")] = None,
    sites: Annotated[int, typer.Option(min=1, max=64, help="Sites to spread people over (or a 'site' column).")] = 3,
    folds: Annotated[int, typer.Option(min=0, max=50, help="Folds of the cross-validation over people; 0: none.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Repetitions; the means over them are reported.")] = 5,
    no_privacy: Annotated[bool, typer.Option("--no-privacy", help="Without noise, to compare.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    home: Annotated[Path | None, typer.Option(help="The coordinator's home, whose registry gets the model.")] = None,
) -> None:
    """Run a study's real rounds on simulated sites, and say what it would learn and cost.

    The same server and client applications as in the deployment, on Flower's simulation engine. People are never on
    both sides of a split. Ends with the model, trained on the whole cohort, as a version of the registry.
    """
    from gaitkeeper_server.rounds.rehearsal import rehearse as run
    from gaitkeeper_server.rounds.rehearsal_plan import RehearsalOptions
    from gaitkeeper_shared.study import load_study

    if folds == 1:
        raise typer.BadParameter("one fold leaves nobody to train on; use 0 or at least 2", param_hint="--folds")
    loaded, data = load_study(study)
    provider = _provider()
    quiet = as_json or not sys.stderr.isatty()
    people = provider.load(cohort, loaded, _progress("Recordings", quiet))
    others = None if holdout is None else provider.load(holdout, loaded, _progress("Hold-out", quiet))
    _no_overlap(people, others)
    options = RehearsalOptions(sites, folds, seeds, privacy=not no_privacy)
    judged = () if others is None else others.people
    registry = _registry(home)
    started = _start(registry, loaded, data, quiet=quiet)
    start = None if started is None else started[1]
    report = run(loaded, data, provider, people.people, judged, options, _progress("Rounds", quiet), start)
    version = _register(registry, report, data, () if started is None else (started[0],))
    left_out = (*people.left_out, *(() if others is None else others.left_out))
    if as_json:
        typer.echo(json.dumps(_as_json(report, loaded, version, left_out), indent=1, allow_nan=False))
    else:
        _print(report, loaded, version, left_out)


def _provider() -> RehearsalProvider:
    from importlib.metadata import entry_points

    from gaitkeeper_shared.rehearsal import ENTRY_POINT_GROUP

    found = list(entry_points(group=ENTRY_POINT_GROUP))
    try:
        provider: RehearsalProvider = found[0].load()
    except (IndexError, ImportError) as error:
        raise GaitkeeperError("rehearsal-no-client") from error
    return provider


def _progress(what: str, quiet: bool) -> Callable[[int, int], None]:
    def show(done: int, everything: int) -> None:
        if not quiet:
            typer.echo(f"\r{what}: {done} of {everything}", err=True, nl=done == everything)

    return show


def _no_overlap(people: RehearsalCohort, others: RehearsalCohort | None) -> None:
    both = {p.person for p in people.people} & {p.person for p in others.people} if others else set()
    if both:
        raise GaitkeeperError("rehearsal-overlap", count=len(both), people=", ".join(sorted(both)[:5]))


def _registry(home: Path | None) -> Registry:
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_server.registry.registry import Registry

    return Registry(CoordinatorHome.resolve(home))


def _start(registry: Registry, study: Study, data: bytes, *, quiet: bool) -> tuple[int, ModelBundle] | None:
    """The version that the study starts from, with its model; a rehearsal makes it where nobody did."""
    if study.model.start == "random":
        return None
    from gaitkeeper_server.cli.pretrain import prepare
    from gaitkeeper_server.pretraining.start import registered_start
    from gaitkeeper_server.pretraining.train import PretrainOptions
    from gaitkeeper_shared.study import study_hash

    prepare(registry, study, data, PretrainOptions(), quiet=quiet)
    return registered_start(registry, study, study_hash(data))


def _register(registry: Registry, report: RehearsalReport, study: bytes, parents: tuple[int, ...]) -> int:
    """A new version in the registry; every rehearsal is a run of its own."""
    import secrets

    metrics = {
        "epsilon_spent": report.epsilon,
        "delta": report.delta,
        "rounds": float(report.rounds),
        "sites": float(len(report.sites)),
    }
    for name, scores in (("cross_validation", report.cross_validation), ("holdout", report.holdout)):
        if scores is not None:
            metrics[f"{name}_balanced_accuracy"] = scores.balanced_accuracy.value
            metrics[f"{name}_auc"] = scores.auc.value
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if "epsilon_spent" not in finite:
        finite.pop("delta")  # without privacy there is no epsilon for it to belong to
    return registry.register(report.bundle, study, parents, finite, run=f"rehearsal-{secrets.token_hex(6)}")


def _as_json(report: RehearsalReport, study: Study, version: int, left_out: tuple[str, ...]) -> dict[str, Any]:
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


def _scores_json(scores: Scores | None) -> dict[str, Any] | None:
    if scores is None:
        return None

    def interval(score: Score) -> list[float | None]:
        return [_finite(score.low), _finite(score.high)]

    return {
        "balanced_accuracy": _finite(scores.balanced_accuracy.value),
        "balanced_accuracy_ci95": interval(scores.balanced_accuracy),
        "auc": _finite(scores.auc.value),
        "auc_ci95": interval(scores.auc),
        "sd_over_seeds": scores.sd_over_seeds,
        "n_people": scores.people,
        "seeds": scores.seeds,
        "chance": scores.chance,
    }


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _print(report: RehearsalReport, study: Study, version: int, left_out: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"Rehearsal of {study.name}: {report.people} people at {len(report.sites)} sites")
    for column in ("judged on", "people", "balanced accuracy", "95 % interval", "AUC", "95 % interval"):
        table.add_column(column)
    for what, scores in (("cross-validation", report.cross_validation), ("hold-out", report.holdout)):
        if scores is not None:
            table.add_row(
                what,
                str(scores.people),
                f"{scores.balanced_accuracy.value:.2f}",
                _range(scores.balanced_accuracy),
                f"{scores.auc.value:.2f}",
                _range(scores.auc),
            )
    console.print(table)
    console.print("People: " + ", ".join(f"{count} {label}" for label, count in report.labels.items()))
    for scores in (report.cross_validation, report.holdout):
        if scores is not None:
            seeds = f"; mean of {scores.seeds} seeds, standard deviation {scores.sd_over_seeds:.2f}"
            console.print(f"Chance: {scores.chance:.2f}" + (seeds if scores.seeds > 1 else "; one seed only"))
            break
    if (kept := study.evaluation.holdout) > 0:
        console.print(
            f"Everybody trains here. In the deployment each site keeps {kept:.0%} of its patients out of training to "
            "evaluate on: it learns from fewer people than this.",
            highlight=False,
        )
    if math.isfinite(report.epsilon):
        price = f"epsilon {report.epsilon:.2f} at delta {report.delta:g} per patient"
        console.print(f"Privacy: {price}, noise multiplier {report.noise_multiplier:g}, {report.rounds} rounds")
    else:
        console.print("Privacy: NONE (no noise); only for comparison, no site would run this")
    console.print(f"Time: {report.seconds:.0f} s. Registered as model version {version}.")
    if left_out:
        console.print(f"Left out ({len(left_out)}):")
        for line in left_out[:10]:
            console.print(f"  {line}", highlight=False)


def _range(score: Score) -> str:
    return f"{score.low:.2f} to {score.high:.2f}"
