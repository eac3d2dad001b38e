"""A kept report's standing, for the pages that show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gaitkeeper_client.insight.standing import Decided, Standing
from gaitkeeper_client.signing.kept import KeptReport
from gaitkeeper_client.signing.statements import Statement
from gaitkeeper_client.signing.verification import verified

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault


_MIDNIGHT = " 00:00 UTC"
"""Of a walk this is a day that somebody gave without a time."""


def verified_standing(home: SiteHome, vault: Vault, report_id: str) -> tuple[KeptReport, Standing]:
    """A report and its standing, every signature verified. Raises as :func:`.verification.verified`."""
    report = verified(home, vault, report_id)
    return report, standing_of(report)


def standing_of(report: KeptReport) -> Standing:
    """The standing of a report that the caller has verified."""
    last: dict[str, tuple[Decided, Statement]] = {}
    texts = {item.id: item.text for item in report.items}
    for statement in report.statements:
        for decision in statement.decisions:
            one = Decided(
                finding=texts.get(decision.item, decision.item),
                verdict=decision.verdict,
                text=decision.text,
                reason=decision.reason,
                label=decision.label or "",
                who=_who(statement),
                when=_when(statement),
            )
            last[decision.item] = (one, statement)
    rows = tuple(last[item.id][0] if item.id in last else Decided(item.text) for item in report.items)
    latest = report.statements[-1] if report.statements else None
    return Standing(
        state=report.state,
        report=report.id,
        sha256=report.sha256,
        who=_who(latest) if latest else "",
        when=_when(latest) if latest else "",
        decided=rows,
        keys=tuple(dict.fromkeys(statement.key_id for statement in report.statements)),
        walked=_minute(report.recorded_at).removesuffix(_MIDNIGHT) if report.recorded_at else "",
    )


def _who(statement: Statement) -> str:
    return f"{statement.clinician} ({statement.role})"


def _when(statement: Statement) -> str:
    return _minute(statement.signed_at)


def _minute(at: str) -> str:
    """A moment, ISO 8601, as the pages write it."""
    moment = datetime.fromisoformat(at)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
