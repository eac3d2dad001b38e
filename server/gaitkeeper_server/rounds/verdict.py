"""Judges what a site sent: which of it counts, and which of it is kept. Nothing of it is believed unchecked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_server.rounds.aggregate import check_update
from gaitkeeper_server.rounds.states import Outcome, SiteOutcome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import (
    MASKED_ARRAY,
    RoundOrder,
    RoundReply,
    SiteReport,
    Weights,
    decode_reply,
)
from gaitkeeper_shared.secure.arithmetic import Vector
from gaitkeeper_shared.secure.codec import unpack
from gaitkeeper_shared.secure.messages import Masked
from gaitkeeper_shared.secure.statements import Advert
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
    counted = _counted(site, reply, order, study, noise_std)
    if counted.outcome is Outcome.REFUSED:
        return counted, None
    update = check_update(site, reply.weights, reference, study.model.trained_parts, largest) if order.train else None
    return counted, update


@dataclass(frozen=True, slots=True)
class MaskedVerdict:
    """What a masked reply comes to: a masked vector, or complaints about peers who dealt false shares, or neither.

    ``adverts``: keys for the next round, not checked here.
    """

    outcome: SiteOutcome
    vector: Vector | None
    complaints: tuple[str, ...]
    adverts: tuple[Advert, ...] = ()


def judge_masked(
    site: str, content: RecordDict, order: RoundOrder, study: Study, size: int, noise_std: float
) -> MaskedVerdict:
    """What a masked reply to ``order`` comes to. Of the vector only type and length (``size``) can be checked.

    Raises ``round-message-unusable`` or ``update-unusable``.
    """
    reply = decode_reply(content)
    beside = unpack(Masked, reply.beside) if reply.beside else None
    counted = _counted(site, reply, order, study, noise_std)
    if counted.outcome is Outcome.REFUSED:
        return MaskedVerdict(counted, None, () if beside is None else beside.complaints)
    vector = None if reply.weights is None else reply.weights.get(MASKED_ARRAY)
    if vector is None or beside is None or len(reply.weights or ()) != 1:
        raise GaitkeeperError("update-unusable", site=site, why="it carries no masked update")
    if vector.dtype != np.uint64 or vector.shape != (size,):
        raise GaitkeeperError("update-unusable", site=site, why="its masked update has another length or type")
    return MaskedVerdict(replace(counted, outcome=Outcome.TRAINED), vector, (), beside.adverts)


def _counted(site: str, reply: RoundReply, order: RoundOrder, study: Study, noise_std: float) -> SiteOutcome:
    """What a site's report comes to, apart from its weights."""
    report = reply.report
    refused = report.status == "refused"
    # A site that cannot even open its home does not know its name. Flower knows whose node answered.
    if report.site != site and not (refused and report.site == ""):
        raise GaitkeeperError("update-unusable", site=site, why=f"it names itself {report.site[:80]!r}")
    judged = SiteOutcome(site, Outcome.REFUSED, report.code, report.message)
    if refused:
        return judged
    _check_spent(site, report, study)
    # Counts that the study did not ask for are not kept.
    metrics = {**reply.metrics, NOISE_STD: noise_std} if order.evaluate and reply.metrics else {}
    return replace(
        judged, outcome=Outcome.INCLUDED, epsilon_spent=report.epsilon_spent, delta=report.delta, metrics=metrics
    )


def _check_spent(site: str, report: SiteReport, study: Study) -> None:
    """Epsilons are comparable at one delta only, the study's."""
    if report.delta != study.privacy.delta:
        why = f"it tells its epsilon at delta {report.delta:g}, the study asks for {study.privacy.delta:g}"
        raise GaitkeeperError("update-unusable", site=site, why=why)
    if report.epsilon_spent < 0 or (math.isinf(report.epsilon_spent) and math.isfinite(study.privacy.epsilon)):
        raise GaitkeeperError("update-unusable", site=site, why=f"its epsilon is {report.epsilon_spent}")
