"""The course of one patient: visits, score, changes, trends and flags, ready to be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaitkeeper_client.followup.change import Change, Trend, Verdict, by_name, changes, trend, two_sided
from gaitkeeper_client.followup.risk import Flag, flags
from gaitkeeper_client.followup.rules import change_rules
from gaitkeeper_client.followup.score import MobilityScore, mobility_score
from gaitkeeper_client.followup.visits import Z95, Visit, visits_of
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.signing.kept import KeptReport, list_for
from gaitkeeper_client.signing.verification import trusted, verified
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

SCORE = "mobility_score"


@dataclass(frozen=True, slots=True)
class Course:
    """``scores``: one per visit. ``since_first``, ``since_previous``: changes to the latest visit; empty for one visit.

    ``overruled``: how many walks are left out, because a clinician let no measurement of them stand.
    ``score_changes``: of the score since the first visit and since the previous one; None where it cannot be told.
    """

    patient: PatientContext
    visits: tuple[Visit, ...]
    scores: tuple[MobilityScore, ...]
    since_first: tuple[Change, ...]
    since_previous: tuple[Change, ...]
    score_changes: tuple[Change | None, Change | None]
    trends: tuple[Trend, ...]
    flags: tuple[Flag, ...]
    overruled: int = 0

    @property
    def draft(self) -> bool:
        """Whether any report that the course rests on is not signed."""
        return any(visit.draft for visit in self.visits)


def course_in(home: SiteHome, vault: Vault, patient: str) -> Course:
    """The course of a patient of this vault, from kept reports whose signatures were verified.

    Raises ``vault-no-such-patient``, ``consent-missing`` without consent for care, ``followup-nothing`` without a
    measured walk, and what :func:`~gaitkeeper_client.signing.verification.verified` raises.
    """
    known = vault.named(patient)
    if not known.allows("care"):
        raise GaitkeeperError("consent-missing", pseudonym=known.pseudonym, purpose="care")
    keys = trusted(home)
    reports = tuple(verified(home, vault, one.id, keys) for one in list_for(vault, known.pseudonym))
    if not any(report.analysis.status == "analysed" for report in reports):
        raise GaitkeeperError("followup-nothing", pseudonym=known.pseudonym)
    return course_of(reports, PatientContext(known.pseudonym, known.age, known.sex or "", known.height_m))


def course_of(reports: Sequence[KeptReport], patient: PatientContext) -> Course:
    """The course of a patient from their reports. Raises ``followup-nothing`` without a measured walk."""
    visits = visits_of(reports)
    if not visits:
        raise GaitkeeperError("followup-nothing", pseudonym=patient.pseudonym)
    scores = tuple(mobility_score(visit.estimates) for visit in visits)
    first: tuple[Change, ...] = ()
    previous: tuple[Change, ...] = ()
    score_changes: tuple[Change | None, Change | None] = (None, None)
    if len(visits) > 1:
        first, previous = changes(visits[0], visits[-1], patient), changes(visits[-2], visits[-1], patient)
        score_changes = (_score_change(visits, scores, 0), _score_change(visits, scores, -2))
    trends = tuple(found for name in change_rules() if (found := trend(name, visits, patient)) is not None)
    raised = flags(visits, by_name(first), {one.name: one for one in trends})
    left_out = sum(report.overruled is not None for report in reports)
    return Course(patient, visits, scores, first, previous, score_changes, trends, raised, left_out)


def _score_change(visits: Sequence[Visit], scores: Sequence[MobilityScore], index: int) -> Change | None:
    """The score's change from one visit to the latest; its day-to-day error comes of those of its components."""
    before, after = scores[index], scores[-1]
    if before.value is None or after.value is None or before.sd is None or after.sd is None:
        return None
    difference = after.value - before.value
    if visits[index].method != visits[-1].method:
        return Change(SCORE, before.value, after.value, difference, None, "not_judged", "method")
    day_sd = max(before.day_sd, after.day_sd)
    error = math.sqrt(before.sd**2 + after.sd**2 + 2.0 * day_sd**2)
    verdict: Verdict = "within_error"
    if abs(difference) > Z95 * error:
        verdict = "improved" if difference > 0.0 else "worse"
    p_value = two_sided(difference, error)
    return Change(SCORE, before.value, after.value, difference, Z95 * error, verdict, day_sd=day_sd, p_value=p_value)
