"""What privacy was spent at this site: by study, by patient, over everything; and what a further study would cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.ledger import ChargeKind, Ledger
    from gaitkeeper_shared.privacy.accounting import Budget, Spend
    from gaitkeeper_shared.study import Study

UNCAPPED_DELTA = 1e-5
"""The delta at which spending over all studies is told where the site sets no cap of its own, and spending in a study
that is not known here any more: the ledger holds mechanisms, of which any delta has its epsilon."""


@dataclass(frozen=True, slots=True)
class StudySpent:
    """One study in the ledger. ``rounds``: charged here; ``epsilon``: of a patient who was trained on in each of them.

    ``local_epsilon``: the same against somebody who got this site's updates without their masks; local trust: equal.
    ``evaluation_epsilon``: of a patient kept out who judged the model in each of ``evaluations``. ``limit``: the
    study's own for a patient trained on. ``approved``: whether it is now. ``known``: whether its file is still here;
    where not, ``delta`` is not the study's and there is no limit. ``exhausted``: patients for whom no further round of
    it fits, whatever the site's cap.
    """

    study: str
    study_hash: str
    rounds: int
    epsilon: float
    delta: float
    limit: float | None
    local_epsilon: float
    evaluations: int
    evaluation_epsilon: float
    approved: bool
    known: bool
    exhausted: int


@dataclass(frozen=True, slots=True)
class PatientSpent:
    """One patient, over all studies, at the site's delta. ``exhausted``: what is asked for does not fit in the site's
    cap; None where there is no cap, so that nobody can be."""

    pseudonym: str
    epsilon: float
    delta: float
    exhausted: bool | None


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
    hashes = dict.fromkeys(entry.key.study_hash for entry in ledger.entries)
    return tuple(_of_study(place, ledger, study_hash) for study_hash in hashes)


def _of_study(place: SiteHome, ledger: Ledger, study_hash: str) -> StudySpent:
    study, approved = _known(place, study_hash)
    delta = UNCAPPED_DELTA if study is None else study.privacy.delta
    promised, local = (ledger.study_epsilon(study_hash, delta, local=local) for local in (False, True))
    rounds, evaluations = (len(ledger.study_rounds(kind, study_hash)) for kind in ("train", "evaluate"))
    return StudySpent(
        study="" if study is None else study.name,
        study_hash=study_hash,
        rounds=rounds,
        epsilon=promised,
        delta=delta,
        limit=None if study is None else study.privacy.epsilon,
        local_epsilon=local,
        evaluations=evaluations,
        evaluation_epsilon=ledger.study_epsilon(study_hash, delta, kind="evaluate"),
        approved=approved,
        known=study is not None,
        exhausted=0 if study is None else _exhausted(ledger, study_hash, study),
    )


def _known(place: SiteHome, study_hash: str) -> tuple[Study | None, bool]:
    """A study by its hash, where its file is still here, and whether it is approved. What was spent stays spent."""
    from gaitkeeper_client.consortium.studies import approved_study, find_offer
    from gaitkeeper_shared.errors import GaitkeeperError

    try:
        return approved_study(place, study_hash), True
    except GaitkeeperError:
        pass
    try:
        return find_offer(place, study_hash).study, False
    except GaitkeeperError:
        return None, False


def _exhausted(ledger: Ledger, study_hash: str, study: Study) -> int:
    """Patients whom one more round like the last one of their kind would take past the study's limit."""
    from gaitkeeper_shared.privacy.accounting import Budget, within

    limits: dict[ChargeKind, float] = {"train": study.privacy.epsilon, "evaluate": study.evaluation.epsilon}
    count = 0
    for kind, limit in limits.items():
        price: Spend | None = None
        spent: dict[str, list[Spend]] = {}
        for entry in ledger.study_rounds(kind, study_hash):
            if (price := entry.spend) is not None:
                for pseudonym in entry.patients:
                    spent.setdefault(pseudonym, []).append(price)
        budget = Budget(limit, study.privacy.delta)
        count += sum(price is not None and not within([*before, price], budget) for before in spent.values())
    return count


def by_patient(ledger: Ledger, cap: Budget | None, study: Path | None) -> tuple[PatientSpent, ...]:
    """What each patient spent over all studies; ``study``: a file whose study has to fit, too."""
    from gaitkeeper_shared.privacy.accounting import epsilon, within
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
        exhausted = None if cap is None else not within([*spent, *further], cap)
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
