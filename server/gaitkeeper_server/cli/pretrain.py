"""``gaitkeeper coordinator`` pretrain: a study's first weights, from synthetic patients."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_server.cli.door import enter_where_made

if TYPE_CHECKING:
    from gaitkeeper_server.pretraining.train import Pretrained, PretrainOptions
    from gaitkeeper_server.registry.registry import Registry
    from gaitkeeper_shared.study import Study


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper coordinator``."""
    app.command("pretrain")(pretrain)


def pretrain(
    study: Annotated[Path, typer.Argument(help="The study file; its model.start says synthetic.")],
    patients: Annotated[int, typer.Option(min=10, max=100_000, help="Synthetic patients, half of them healthy.")] = 300,
    steps: Annotated[int, typer.Option(min=1, max=1_000_000, help="Steps of the optimiser.")] = 600,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
    home: Annotated[Path | None, typer.Option(help="The coordinator's home, whose registry gets the model.")] = None,
) -> None:
    """Train a study's encoder on synthetic patients and register it as the version that its runs start from.

    No patient's data is used, so it costs no privacy. It uses a GPU where there is one. A study file is pretrained
    once: asked again, the registered version is named.
    """
    from gaitkeeper_server.pretraining.train import PretrainOptions
    from gaitkeeper_server.registry.registry import Registry
    from gaitkeeper_shared.errors import GaitkeeperError
    from gaitkeeper_shared.study import load_study

    registry = Registry(enter_where_made(home, "pretrain", study.name))
    loaded, data = load_study(study)
    if loaded.model.start != "synthetic":
        raise GaitkeeperError("pretrain-nothing", why="the study's model.start is 'random'")
    version, made = prepare(registry, loaded, data, PretrainOptions(patients, steps, seed), quiet=as_json)
    if as_json:
        words: dict[str, Any] = {"model_version": version, "made": made is not None}
        if made is not None:
            words |= {"accuracy": round(made.accuracy, 4), "windows": made.windows, "device": made.device}
        typer.echo(json.dumps({"schema": "gaitkeeper.pretraining/1", **words}, indent=1))
    elif made is None:
        typer.echo(f"Runs of {loaded.name} start from version {version}, which was made before.")
    else:
        typer.echo(
            f"Registered as version {version}; runs of {loaded.name} start from it. Of {made.windows} windows of "
            f"{patients} synthetic patients, {made.accuracy:.0%} of those kept out were given the right disorder."
        )


def prepare(
    registry: Registry, study: Study, data: bytes, options: PretrainOptions, *, quiet: bool
) -> tuple[int, Pretrained | None]:
    """The version that a study's runs start from, made now where there is none; what was made, or None."""
    from gaitkeeper_server.pretraining.start import registered_start, start_run
    from gaitkeeper_server.pretraining.train import pretrain as run
    from gaitkeeper_shared.errors import GaitkeeperError
    from gaitkeeper_shared.models.spec import ModelSpec
    from gaitkeeper_shared.study import study_hash

    digest = study_hash(data)
    try:
        known = registered_start(registry, study, digest)
    except GaitkeeperError as error:
        if error.code != "model-start-missing":
            raise
        known = None
    if known is not None:
        return known[0], None

    def show(done: int, everything: int) -> None:
        if not quiet and sys.stderr.isatty():
            typer.echo(f"\rSynthetic patients: {done} of {everything}", err=True, nl=done == everything)

    made = run(ModelSpec.of(study, digest), options, show)
    metrics = {"synthetic_accuracy": made.accuracy, "synthetic_windows": float(made.windows)}
    return registry.register(made.bundle, data, (), metrics, run=start_run(digest)), made
