"""``gaitkeeper site`` budget: what privacy has been spent here, what the next study would cost, who is exhausted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ledger import Ledger
    from gaitkeeper_shared.privacy.accounting import Budget


UNCAPPED_DELTA = 1e-5
"""The delta at which spending over all studies is told where the site sets no cap of its own."""


@dataclass(frozen=True, slots=True)
class StudySpent:
    """One study in the ledger. ``rounds``: charged here; ``epsilon``: of a patient who was in each of them.

    ``local_epsilon``: the same against somebody who got this site's updates without their masks; local trust: equal.
    """

    study: str
    study_hash: str
    rounds: int
    epsilon: float
    delta: float
    limit: float | None
    local_epsilon: float


@dataclass(frozen=True, slots=True)
class PatientSpent:
    """One patient, over all studies, at the site's delta. ``exhausted``: the next study asked for does not fit."""

    pseudonym: str
    epsilon: float
    delta: float
    exhausted: bool


@dataclass(frozen=True, slots=True)
class SiteSpent:
    """All studies together, for somebody who was in every training round or in every evaluation: a cap is on these."""

    train_epsilon: float
    evaluate_epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class NextStudy:
    """What a study that did not run yet would cost a patient who is in every round.

    A patient is either trained on or kept out. ``evaluation_epsilon``: of one who is kept out, over ``evaluations``;
    ``count_noise_std``: noise on each count of patients. ``epsilon`` is what is promised: of each update here with
    local ``trust``, of the masked sum with distributed noise; ``local_epsilon`` is that of this site alone.
    """

    study: str
    epsilon: float
    delta: float
    noise_multiplier: float
    evaluation_epsilon: float
    evaluations: int
    count_noise_std: float
    trust: str
    site_noise_multiplier: float
    local_epsilon: float


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
    from gaitkeeper_client.training.home_runtime import budget_cap
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ledger import open_ledger

    place = SiteHome.resolve(home)
    place.config()
    ledger = open_ledger(place)
    cap = budget_cap(place)
    studies = _by_study(place, ledger)
    coming = None if study is None else _coming(study)
    together = _together(ledger, cap)
    patients = _by_patient(ledger, cap, study)
    if as_json:
        table = {
            "schema": "gaitkeeper.budget/1",
            "entries": len(ledger.entries),
            "cap": None if cap is None else asdict(cap),
            "studies": [asdict(item) for item in studies],
            "all_studies": asdict(together),
            "patients": [asdict(item) for item in patients],
            "next_study": None if coming is None else asdict(coming),
        }
        typer.echo(json.dumps(table, indent=1))
        return
    _print(studies, patients, together, coming, cap, len(ledger.entries))


def _by_study(place: SiteHome, ledger: Ledger) -> tuple[StudySpent, ...]:
    from gaitkeeper_client.consortium.studies import approved_study
    from gaitkeeper_shared.errors import GaitkeeperError

    hashes = dict.fromkeys(entry.key.study_hash for entry in ledger.entries)
    spent = []
    for study_hash in hashes:
        rounds = sum(entry.kind == "train" and entry.key.study_hash == study_hash for entry in ledger.entries)
        try:
            study = approved_study(place, study_hash)
            name, delta, limit = study.name, study.privacy.delta, study.privacy.epsilon
        except GaitkeeperError:  # approval was withdrawn since; what was spent stays spent
            name, delta, limit = "", UNCAPPED_DELTA, None
        promised, local = (ledger.study_epsilon(study_hash, delta, local=local) for local in (False, True))
        spent.append(StudySpent(name, study_hash, rounds, promised, delta, limit, local))
    return tuple(spent)


def _by_patient(ledger: Ledger, cap: Budget | None, study: Path | None) -> tuple[PatientSpent, ...]:
    from gaitkeeper_shared.privacy.accounting import Spend, epsilon, within
    from gaitkeeper_shared.privacy.plan import plan
    from gaitkeeper_shared.study import load_study

    further: list[Spend] = []
    if study is not None:
        loaded, _ = load_study(study)
        if (train := plan(loaded).train) is not None:
            further = [train] * loaded.training.rounds
    delta = UNCAPPED_DELTA if cap is None else cap.delta
    patients = []
    for pseudonym in ledger.patients():
        spent = list(ledger.spent(pseudonym))
        exhausted = cap is not None and not within([*spent, *further], cap)
        patients.append(PatientSpent(pseudonym, epsilon(spent, delta), delta, exhausted))
    return tuple(patients)


def _together(ledger: Ledger, cap: Budget | None) -> SiteSpent:
    from gaitkeeper_shared.privacy.accounting import epsilon

    delta = UNCAPPED_DELTA if cap is None else cap.delta
    train, evaluate = (epsilon(ledger.site_spent(kind), delta) for kind in ("train", "evaluate"))
    return SiteSpent(train, evaluate, delta)


def _coming(study: Path) -> NextStudy | None:
    from gaitkeeper_shared.privacy.accounting import epsilon
    from gaitkeeper_shared.privacy.plan import local_epsilon, plan
    from gaitkeeper_shared.study import load_study

    loaded, _ = load_study(study)
    prices, delta = plan(loaded), loaded.privacy.delta
    if prices.train is None:
        return None
    cost = epsilon([prices.train] * loaded.training.rounds, delta)
    kept_out = 0.0 if prices.evaluate is None else epsilon([prices.evaluate] * prices.evaluations, delta)
    noise = prices.train.noise_multiplier
    return NextStudy(
        loaded.name,
        cost,
        delta,
        noise,
        kept_out,
        prices.evaluations,
        prices.count_noise_std,
        loaded.privacy.trust,
        prices.site_noise_multiplier,
        local_epsilon(loaded, prices),
    )


def _print(
    studies: tuple[StudySpent, ...],
    patients: tuple[PatientSpent, ...],
    together: SiteSpent,
    coming: NextStudy | None,
    cap: Budget | None,
    entries: int,
) -> None:
    typer.echo(f"The ledger is whole: {entries} entries.")
    for item in studies:
        limit = "" if item.limit is None else f" of {item.limit:g}"
        name = item.study or "a study that is no longer approved"
        price = f"epsilon {item.epsilon:.2f}{limit} at delta {item.delta:g}"
        typer.echo(f"  {name} ({item.study_hash[:12]}): {item.rounds} rounds, {price}")
        if item.local_epsilon > item.epsilon:
            typer.echo(f"    of the masked sums; this site's updates without their masks: {item.local_epsilon:.2f}")
    if patients:
        most = max(patient.epsilon for patient in patients)
        most_spent = f"epsilon {most:.2f} at delta {patients[0].delta:g}"
        typer.echo(f"{len(patients)} patients were charged; over all studies one of them spent at most {most_spent}.")
    if cap is None:
        typer.echo("This site sets no cap over all studies ([privacy] epsilon_cap in site.toml).")
    else:
        exhausted = [patient.pseudonym for patient in patients if patient.exhausted]
        typer.echo(f"Cap over all studies: epsilon {cap.epsilon:g} at delta {cap.delta:g}.")
        spent = (
            f"{together.train_epsilon:.2f} by all training rounds, {together.evaluate_epsilon:.2f} by all evaluations"
        )
        typer.echo(f"Of it spent at delta {together.delta:g}: {spent}. Past it, rounds are refused.")
        if exhausted:
            typer.echo(f"{len(exhausted)} patients are exhausted: {', '.join(exhausted[:20])}")
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
