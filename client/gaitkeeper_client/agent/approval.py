"""Whether this site's rules allow what its people want to approve, and what they say of each study now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.policy import check_training, load_policy
from gaitkeeper_client.consortium.studies import Offer, known_offers
from gaitkeeper_client.training.dataset import HELD_OUT_KEY, is_held_out
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey
    from gaitkeeper_shared.study import Study


@dataclass(frozen=True, slots=True)
class StudyVerdict:
    """What the policy says of an offered study now. ``detail``: the rule that refuses it, in words."""

    study: str
    state: Literal["not approved", "may train", "refused"]
    detail: str = ""


def check_approval(home: SiteHome, key: Callable[[], SiteKey], offer: Offer) -> bool:
    """What the site's own rules do not allow is not approved either: raises ``policy-refuses``.

    Returns whether noised counts of held-out patients may leave, which the approval keeps. ``key``: opens the vault;
    asked for only where the rules want patients counted.
    """
    policy = load_policy(home)
    policy.check_study(offer.study, offer.hash)
    if not (policy.studies.min_patients or policy.metrics_min_patients):
        return policy.metrics_leave
    opened = key()  # once: a person may be asked for a passphrase
    fitting = _fitting(home, opened, offer.study)
    policy.check_patients(len(fitting), offer.study)
    secret, share = opened.identify(HELD_OUT_KEY), offer.study.evaluation.holdout
    return policy.counts_may_leave(sum(is_held_out(patient, share, secret) for patient in fitting))


def _fitting(home: SiteHome, key: SiteKey, study: Study) -> tuple[str, ...]:
    """The pseudonyms of those who agreed to training and have a label that the study uses."""
    with Vault.open(home, key) as vault:
        return tuple(
            patient.pseudonym
            for patient in vault.patients()
            if patient.allows("training")
            and patient.training_label
            and study.task.class_of(patient.training_label) is not None
        )


def study_verdicts(home: SiteHome) -> tuple[StudyVerdict, ...]:
    """Each offered study judged by the policy as it is now; none where the site is not enrolled."""
    if CoordinatorConnection.load_or_none(home) is None:
        return ()
    verdicts = []
    for offer in known_offers(home).offers:
        if offer.approved_at is None:
            verdicts.append(StudyVerdict(offer.study.name, "not approved"))
            continue
        try:
            check_training(home, offer.study, offer.hash)
            verdicts.append(StudyVerdict(offer.study.name, "may train"))
        except GaitkeeperError as error:
            verdicts.append(StudyVerdict(offer.study.name, "refused", error.message))
    return tuple(verdicts)
