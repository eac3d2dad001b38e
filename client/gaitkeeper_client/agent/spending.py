"""What privacy was spent at this site: by study, by patient, over everything; and what a further study would cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


def by_study(place: SiteHome, ledger: Ledger) -> tuple[StudySpent, ...]:
    """What each study that was ever charged here spent."""
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


def by_patient(ledger: Ledger, cap: Budget | None, study: Path | None) -> tuple[PatientSpent, ...]:
    """What each patient spent over all studies; ``study``: a file whose study has to fit, too."""
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


def together(ledger: Ledger, cap: Budget | None) -> SiteSpent:
    """What the site's cap is compared with."""
    from gaitkeeper_shared.privacy.accounting import epsilon

    delta = UNCAPPED_DELTA if cap is None else cap.delta
    train, evaluate = (epsilon(ledger.site_spent(kind), delta) for kind in ("train", "evaluate"))
    return SiteSpent(train, evaluate, delta)


def coming_study(study: Path) -> NextStudy | None:
    """What the study of a file would cost; None for one without privacy."""
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
