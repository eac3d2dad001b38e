"""``gaitkeeper site`` budget: what privacy has been spent here, what the next study would cost, who is exhausted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home

if TYPE_CHECKING:
    from gaitkeeper_client.agent.spending import NextStudy, PatientSpent, SiteSpent, StudySpent
    from gaitkeeper_client.vault.ledger import Ledger
    from gaitkeeper_shared.privacy.accounting import Budget


def register(app: typer.Typer) -> None:
    """Add this command to ``gaitkeeper site``."""
    app.command()(budget)


def budget(
    home: Home = None,
    study: Annotated[
        Path | None, typer.Option(help="A study file: what it would cost, and who could be in it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the privacy ledger: spent by study, spent by patient, and what a further study would cost."""
    from gaitkeeper_client.agent import spending
    from gaitkeeper_client.training.home_runtime import budget_cap
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ledger import ledger_at_hand

    place = SiteHome.resolve(home)
    place.config()
    ledger = ledger_at_hand(place)
    cap = budget_cap(place)
    studies = spending.by_study(place, ledger)
    coming = None if study is None else spending.coming_study(study)
    together = spending.together(ledger, cap)
    patients = spending.by_patient(ledger, cap, study)
    if as_json:
        table = {
            "schema": "gaitkeeper.budget/1",
            "entries": len(ledger.entries),
            "seals_checked": ledger.seals_checked,
            "cap": None if cap is None else asdict(cap),
            "studies": [asdict(item) for item in studies],
            "all_studies": asdict(together),
            "patients": [asdict(item) for item in patients],
            "next_study": None if coming is None else asdict(coming),
        }
        typer.echo(json.dumps(table, indent=1))
        return
    _print(studies, patients, together, coming, cap, ledger)


def _print(
    studies: tuple[StudySpent, ...],
    patients: tuple[PatientSpent, ...],
    together: SiteSpent,
    coming: NextStudy | None,
    cap: Budget | None,
    ledger: Ledger,
) -> None:
    seals = "" if ledger.seals_checked else " Whose they are was not checked: that takes the site's passphrase."
    typer.echo(f"The ledger is whole: {len(ledger.entries)} entries.{seals}")
    for item in studies:
        _print_study(item)
    if patients:
        most = max(patient.epsilon for patient in patients)
        most_spent = f"epsilon {most:.2f} at delta {patients[0].delta:g}"
        typer.echo(f"{len(patients)} patients were charged; over all studies one of them spent at most {most_spent}.")
    if cap is None:
        typer.echo("This site sets no cap over all studies ([privacy] epsilon_cap in site.toml): further studies may")
        typer.echo("take any patient's spending further. Within each study its own limit holds.")
    else:
        exhausted = [patient.pseudonym for patient in patients if patient.exhausted]
        typer.echo(f"Cap over all studies: epsilon {cap.epsilon:g} at delta {cap.delta:g}.")
        spent = (
            f"{together.train_epsilon:.2f} by all training rounds, {together.evaluate_epsilon:.2f} by all evaluations"
        )
        typer.echo(f"Of it spent at delta {together.delta:g}: {spent}. Past it, rounds are refused.")
        what = "have no room for the study asked about" if coming else "are past it"
        typer.echo(f"{len(exhausted)} patients {what}{': ' if exhausted else ''}{', '.join(exhausted[:20])}")
    if coming is not None:
        price = f"epsilon {coming.epsilon:.2f} at delta {coming.delta:g}"
        typer.echo(f"{coming.study} would cost a patient {price} (noise multiplier {coming.noise_multiplier:g}).")
        if coming.trust == "distributed":
            typer.echo(f"That is the price of the masked sum. Noise added here: {coming.site_noise_multiplier:.4g};")
            typer.echo(f"this site's updates alone, seen if masking failed: epsilon {coming.local_epsilon:.2f}.")
        if coming.evaluations:
            price = f"epsilon {coming.evaluation_epsilon:.2f} at delta {coming.delta:g}"
            noise = f"each count carries noise of {coming.count_noise_std:.2g} patients"
            typer.echo(f"A patient kept out pays {price} for {coming.evaluations} evaluations instead; {noise}.")


def _print_study(item: StudySpent) -> None:
    name = item.study or "A study whose file is not here any more"
    name += "" if item.approved or not item.known else ", no longer approved"
    typer.echo(f"  {name} ({item.study_hash[:12]}): what one patient spent who was in every round here")
    at = f"at delta {item.delta:g}" + ("" if item.known else " (the study's own is not known)")
    limit = "" if item.limit is None else f" of {item.limit:g}"
    typer.echo(f"    trained on: {item.rounds} rounds, epsilon {item.epsilon:.2f}{limit} {at}")
    if item.local_epsilon > item.epsilon:
        typer.echo("    that is against whoever sees the masked sums; against somebody who got this site's updates")
        typer.echo(f"    without their masks: {item.local_epsilon:.2f}")
    if item.evaluations:
        typer.echo(f"    kept out: {item.evaluations} evaluations, epsilon {item.evaluation_epsilon:.2f} {at}")
    if item.exhausted:
        typer.echo(f"    {item.exhausted} patients have spent what the study allows: no further round of it fits")
