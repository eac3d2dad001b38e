"""Whether this site's rules allow what its people want to approve, and what they say of each study now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.policy import check_training, load_policy
from gaitkeeper_client.consortium.studies import Offer, known_offers
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey


@dataclass(frozen=True, slots=True)
class StudyVerdict:
    """What the policy says of an offered study now. ``detail``: the rule that refuses it, in words."""

    study: str
    state: Literal["not approved", "may train", "refused"]
    detail: str = ""


def check_approval(home: SiteHome, key: Callable[[], SiteKey], offer: Offer) -> None:
    """What the site's own rules do not allow is not approved either: raises ``policy-refuses``.

    ``key``: opens the vault; asked for only where the rules want patients counted.
    """
    policy = load_policy(home)
    policy.check_study(offer.study, offer.hash)
    if policy.studies.min_patients:
        with Vault.open(home, key()) as vault:
            labels = [patient.training_label for patient in vault.patients() if patient.allows("training")]
        fitting = [label for label in labels if label and offer.study.task.class_of(label) is not None]
        policy.check_patients(len(fitting), offer.study)


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
