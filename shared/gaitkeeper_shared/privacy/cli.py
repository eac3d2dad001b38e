"""``gaitkeeper privacy``: what a study would cost its patients, from public numbers alone. Reads nobody's data."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
import typer.core

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_shared.privacy.accounting import Spend
    from gaitkeeper_shared.study import Study


class _InstalledCommands(typer.core.TyperGroup):
    """Commands of this module, and those that an installed clinic adds: what needs its training code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        added = (entry.name for entry in entry_points(group="gaitkeeper.privacy"))
        return sorted({*super().list_commands(ctx), *added})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from gaitkeeper_shared.cli import load_command

        for entry in entry_points(group="gaitkeeper.privacy"):
            if entry.name == cmd_name:
                return load_command(entry)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=_InstalledCommands,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True)
class EvaluationCost:
    """What a patient kept out of training pays for ``evaluations``; ``count_noise_std``: noise on each count."""

    epsilon: float
    delta: float
    evaluations: int
    count_noise_std: float


@dataclass(frozen=True, slots=True)
class NoiseShare:
    """What each site adds with distributed noise, and ``epsilon_local`` of its update alone, without the others'."""

    honest_sites: int
    site_noise_multiplier: float
    epsilon_local: float


@app.callback()
def privacy() -> None:
    """Plan the privacy of a study: noise for a wished epsilon, epsilon for a given noise."""


@app.command()
def plan(
    study: Annotated[
        Path | None, typer.Argument(help="A study file; options given beside it replace its values.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="Wished epsilon; the noise is computed.")] = None,
    noise: Annotated[float | None, typer.Option(help="Noise multiplier; epsilon is computed.")] = None,
    delta: Annotated[float | None, typer.Option(help="Delta, well below one over the number of patients.")] = None,
    sample_rate: Annotated[float | None, typer.Option(help="Chance of a patient to be in a step.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of the study.")] = None,
    local_steps: Annotated[int | None, typer.Option(help="Private steps of a site in a round.")] = None,
    honest: Annotated[
        int | None,
        typer.Option("--honest-sites", help="Distributed noise: sites whose shares the sum carries at least."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say which noise a study's rounds carry and what they cost a patient, by two accountants.

    With distributed noise: for the sum that secure aggregation lets out, and for one site's update if it failed.

    Example: gaitkeeper privacy plan --epsilon 8 --delta 1e-3 --sample-rate 0.5 --rounds 20
    """
    from gaitkeeper_shared.privacy.accounting import Budget, Spend, noise_multiplier
    from gaitkeeper_shared.study import load_study

    loaded = None if study is None else load_study(study)[0]
    price, training = (None, None) if loaded is None else (loaded.privacy, loaded.training)
    delta = _given("--delta", delta, None if price is None else price.delta, 0.0, 1.0)
    rate = _given("--sample-rate", sample_rate, None if price is None else price.sample_rate, 0.0, 1.0, closed=True)
    count = _given("--rounds", rounds, None if training is None else training.rounds, 0.0, 1e6)
    per_round = _given("--local-steps", local_steps, 1 if training is None else training.local_steps, 0.0, 1e4)
    steps = int(count) * int(per_round)
    if noise is None:
        wished = _given("--epsilon", epsilon, None if price is None else price.epsilon, 0.0, 1e6)
        noise = noise_multiplier(Budget(wished, delta), rate, steps)
    else:
        noise = _given("--noise", noise, None, 0.0, 1e6)
    spend = Spend(noise, rate, steps)
    table = _price(spend, delta)
    sites = _honest_sites(honest, loaded)
    if sites > 1:
        table["distributed"] = asdict(_share(spend, sites, delta))
    judged = None if loaded is None else _evaluations(loaded, delta, int(count))
    if judged is not None:
        table["evaluation"] = asdict(judged)
    if as_json:
        typer.echo(json.dumps(table, indent=1))
        return
    _print(table, judged)


def _price(spend: Spend, delta: float) -> dict[str, Any]:
    """What the steps of a study cost a patient, by both accountants."""
    from gaitkeeper_shared.privacy.accounting import epsilon, epsilon_rdp

    return {
        "epsilon": round(epsilon([spend], delta), 4),
        "epsilon_rdp": round(epsilon_rdp([spend], delta), 4),
        "delta": delta,
        "noise_multiplier": spend.noise_multiplier,
        "sample_rate": spend.sample_rate,
        "steps": spend.steps,
    }


def _print(table: dict[str, Any], judged: EvaluationCost | None) -> None:
    noise, steps, rate, delta = (table[key] for key in ("noise_multiplier", "steps", "sample_rate", "delta"))
    typer.echo(f"Noise multiplier {noise:g}: {steps} steps at sample rate {rate:g}")
    typer.echo(f"cost a patient at most epsilon {table['epsilon']:.2f} at delta {delta:g} (PRV accountant);")
    typer.echo(f"the looser cross-check (RDP) says {table['epsilon_rdp']:.2f}.")
    if (share := table.get("distributed")) is not None:
        typer.echo(
            f"That is the price of the masked sum, with the noise of at least {share['honest_sites']} honest sites."
        )
        typer.echo(
            f"Each site adds noise of {share['site_noise_multiplier']:.4g} times the clip norm: its update alone,"
        )
        typer.echo(f"seen if the masking failed, would cost epsilon {share['epsilon_local']:.2f} at delta {delta:g}.")
    if judged is not None:
        price = f"epsilon {judged.epsilon:.2f} at delta {judged.delta:g} for {judged.evaluations} evaluations"
        noise = f"noise of {judged.count_noise_std:.2g} patients on each count"
        typer.echo(f"A patient kept out of training pays {price} instead ({noise}).")


def _honest_sites(option: int | None, study: Study | None) -> int:
    from gaitkeeper_shared.privacy.plan import honest_sites

    if option is not None:
        return int(_given("--honest-sites", float(option), None, 0.0, 1e4))
    return 1 if study is None else honest_sites(study)


def _share(spend: Spend, sites: int, delta: float) -> NoiseShare:
    from gaitkeeper_shared.privacy.accounting import epsilon

    share = spend.noise_multiplier / math.sqrt(sites)
    return NoiseShare(sites, share, round(epsilon([replace(spend, noise_multiplier=share)], delta), 4))


def _evaluations(study: Study, delta: float, rounds: int) -> EvaluationCost | None:
    """The cost of a study's evaluations at the delta and with the rounds that were asked for; None without any."""
    from gaitkeeper_shared.federation import evaluation_rounds
    from gaitkeeper_shared.privacy.accounting import Budget, Spend, noise_multiplier
    from gaitkeeper_shared.privacy.accounting import epsilon as composed
    from gaitkeeper_shared.privacy.plan import COUNT_SENSITIVITY

    count = len(evaluation_rounds(replace(study, training=replace(study.training, rounds=rounds))))
    if count == 0 or math.isinf(study.evaluation.epsilon):
        return None
    noise = noise_multiplier(Budget(study.evaluation.epsilon, delta), 1.0, count)
    cost = composed([Spend(noise, 1.0, count)], delta)
    return EvaluationCost(round(cost, 4), delta, count, noise * COUNT_SENSITIVITY)


def _given(
    option: str, value: float | None, fallback: float | None, low: float, high: float, *, closed: bool = False
) -> float:
    chosen = fallback if value is None else value
    if chosen is None:
        raise GaitkeeperError("privacy-option-missing", option=option)
    if not (low < chosen < high or (closed and chosen == high)):
        raise GaitkeeperError("privacy-option-bad", option=option, value=chosen, low=low, high=high)
    return float(chosen)
