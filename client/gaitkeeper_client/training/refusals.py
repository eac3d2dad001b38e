"""What a refusal may say outside the site: its code, and words made of the study and the order alone.

The text of any other error may hold a path, a pseudonym or a number of the data; it stays in the site's own log.
"""

from __future__ import annotations

import logging

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundReply, SiteReport

_LOG = logging.getLogger(__name__)

PUBLIC_CODES = frozenset(
    {
        "study-not-approved",
        "study-not-offered",
        "policy-refuses",
        "study-unknown-key",
        "study-missing-key",
        "study-bad-value",
        "round-refused",
        "round-message-unusable",
        "reply-gone",
        "model-damaged",
        "model-kind-unknown",
        "privacy-unreachable",
        "calibration-noise",
        "privacy-switched-off",
        "budget-spent",
        "budget-cap",
        "secure-refused",
        "secure-peer-untrusted",
    }
)
"""Errors whose message is made of what the coordinator knows: the study, its order, and the rounds charged here."""
LOCAL = "The reason is in the site's log."


def refusal(site: str, error: Exception) -> RoundReply:
    """The reply of a site that refuses because of ``error``; the whole reason goes to the local log."""
    if isinstance(error, GaitkeeperError):
        _LOG.warning("a round was refused: %s (%s)", error, error.code, exc_info=error.__cause__)
        message = error.message if error.code in PUBLIC_CODES else LOCAL
        return RoundReply(SiteReport(site, "refused", error.code, message))
    _LOG.error("a round failed for an unforeseen reason", exc_info=error)
    known = GaitkeeperError("training-failed", detail=f"unforeseen {type(error).__name__}, see the site's log")
    return RoundReply(SiteReport(site, "refused", known.code, known.message))
