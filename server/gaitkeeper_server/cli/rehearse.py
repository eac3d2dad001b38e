"""``gaitkeeper coordinator`` rehearse: a study tried out on data the coordinator may see."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_server.cli.door import enter_where_made
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_server.registry.registry import Registry
    from gaitkeeper_server.rounds.rehearsal import RehearsalReport
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
    from gaitkeeper_server.cli.rehearse_words import as_json as report_json
    from gaitkeeper_server.cli.rehearse_words import print_report
    from gaitkeeper_server.registry.registry import Registry
    from gaitkeeper_server.rounds.rehearsal import rehearse as run
    from gaitkeeper_server.rounds.rehearsal_plan import RehearsalOptions
    from gaitkeeper_shared.study import load_study

    if folds == 1:
        raise typer.BadParameter("one fold leaves nobody to train on; use 0 or at least 2", param_hint="--folds")
    registry = Registry(enter_where_made(home, "rehearse", study.name))
    loaded, data = load_study(study)
    provider = _provider()
    quiet = as_json or not sys.stderr.isatty()
    people = provider.load(cohort, loaded, _progress("Recordings", quiet))
    others = None if holdout is None else provider.load(holdout, loaded, _progress("Hold-out", quiet))
    _no_overlap(people, others)
    options = RehearsalOptions(sites, folds, seeds, privacy=not no_privacy)
    judged = () if others is None else others.people
    started = _start(registry, loaded, data, quiet=quiet)
    start = None if started is None else started[1]
    report = run(loaded, data, provider, people.people, judged, options, _progress("Rounds", quiet), start)
    version = _register(registry, report, data, () if started is None else (started[0],))
    left_out = (*people.left_out, *(() if others is None else others.left_out))
    if as_json:
        typer.echo(json.dumps(report_json(report, loaded, version, left_out), indent=1, allow_nan=False))
    else:
        print_report(report, loaded, version, left_out)


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

    from gaitkeeper_server.cli.rehearse_words import measures

    metrics = {
        "epsilon_spent": report.epsilon,
        "delta": report.delta,
        "rounds": float(report.rounds),
        "sites": float(len(report.sites)),
    }
    for name, scores in (("cross_validation", report.cross_validation), ("holdout", report.holdout)):
        if scores is not None:
            metrics |= {f"{name}_{what}": value.value for what, value in measures(scores).items()}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    if "epsilon_spent" not in finite:
        finite.pop("delta")  # without privacy there is no epsilon for it to belong to
    return registry.register(report.bundle, study, parents, finite, run=f"rehearsal-{secrets.token_hex(6)}")
