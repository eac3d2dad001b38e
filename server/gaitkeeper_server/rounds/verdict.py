"""Judges what a site sent: which of it counts, and which of it is kept. Nothing of it is believed unchecked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.aggregate import check_update
from gaitkeeper_server.rounds.states import Outcome, SiteOutcome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, SiteReport, Weights, decode_reply
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from flwr.app import RecordDict

NOISE_STD = "noise_std"


def judge(
    site: str,
    content: RecordDict,
    order: RoundOrder,
    study: Study,
    reference: Weights,
    noise_std: float,
    largest: float = math.inf,
) -> tuple[SiteOutcome, Weights | None]:
    """What a reply to ``order`` comes to, and its weights where they count.

    ``noise_std``: what the study's plan puts on each count, in patients; a site's own word for it is not asked.
    ``largest``: how far weights may lie from ``reference`` (``bounds.largest_update``).
    Raises ``round-message-unusable`` or ``update-unusable``.
    """
    reply = decode_reply(content)
    report = reply.report
    refused = report.status == "refused"
    # A site that cannot even open its home does not know its name. Flower knows whose node answered.
    if report.site != site and not (refused and report.site == ""):
        raise GaitkeeperError("update-unusable", site=site, why=f"it names itself {report.site[:80]!r}")
    judged = SiteOutcome(site, Outcome.REFUSED, report.code, report.message)
    if refused:
        return judged, None
    _check_spent(site, report, study)
    update = check_update(site, reply.weights, reference, study.model.trained, largest) if order.train else None
    # Counts that the study did not ask for are not kept.
    metrics = {**reply.metrics, NOISE_STD: noise_std} if order.evaluate and reply.metrics else {}
    counted = replace(
        judged, outcome=Outcome.INCLUDED, epsilon_spent=report.epsilon_spent, delta=report.delta, metrics=metrics
    )
    return counted, update


def _check_spent(site: str, report: SiteReport, study: Study) -> None:
    """Epsilons are comparable at one delta only, the study's."""
    if report.delta != study.privacy.delta:
        why = f"it tells its epsilon at delta {report.delta:g}, the study asks for {study.privacy.delta:g}"
        raise GaitkeeperError("update-unusable", site=site, why=why)
    if report.epsilon_spent < 0 or (math.isinf(report.epsilon_spent) and math.isfinite(study.privacy.epsilon)):
        raise GaitkeeperError("update-unusable", site=site, why=f"its epsilon is {report.epsilon_spent}")
