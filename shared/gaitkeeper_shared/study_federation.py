"""Who has to be in a round of a study, what happens when somebody is not, and how updates are put together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gaitkeeper_shared.study import Study

DISCARD_ON_TIMEOUT = "DiscardOnTimeout"
STOP_ON_TIMEOUT = "StopOnTimeout"
STOP_ON_DISCONNECT = "StopOnDisconnect"
STOP_ON_ERROR = "StopOnError"
POLICIES = (DISCARD_ON_TIMEOUT, STOP_ON_TIMEOUT, STOP_ON_DISCONNECT, STOP_ON_ERROR)
"""The field's words for what a missing reply means (Fed-BioMed's request policies have the same names)."""

_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Federation:
    """Who has to be there.

    ``quorum``: sites that must be in a round; ``required``: names of sites that must be among them. ``deadline_s``: for
    one round; ``grace_s``: how long sites are waited for that are not connected, once quorum and required ones are
    there; both in seconds. ``policies``: what a site's missing reply means beside that:

    - ``DiscardOnTimeout``: who does not reply by the deadline is left out of the round (the default);
    - ``StopOnTimeout``: one site that does not reply by the deadline stops the run;
    - ``StopOnDisconnect``: one site that is away for longer than the grace stops the run;
    - ``StopOnError``: one site that fails or refuses stops the run.

    ``aggregation``: ``secure`` shows the coordinator the sum of at least ``quorum`` updates and no single one; it is
    the default for a quorum of three and more, as a sum of two tells each of them the other's. ``threshold``: sites
    whose shares open that sum; 0, the default, stands for the quorum. ``stage_deadline_s``: for each stage of a masked
    round after the first, in seconds; the first one trains and may take what ``deadline_s`` leaves.

    ``combine``: how plain updates become one: their ``mean``, or, where up to ``byzantine`` of them may be anything at
    all, the ``median``, the ``trimmed-mean`` (Yin et al. 2018, doi:10.48550/arXiv.1803.01498) or ``krum``'s choice
    (Blanchard et al. 2017, doi:10.48550/arXiv.1703.02757).

    ``sites``: the study's members: SHA-256 of each one's public key by its name. Where it is given, nobody else takes
    part, and a site masks with nobody else.
    """

    quorum: int = 2
    deadline_s: float = 600.0
    aggregation: Literal["secure", "plain"] = "plain"
    threshold: int = 0
    stage_deadline_s: float = 60.0
    required: tuple[str, ...] = ()
    grace_s: float = 15.0
    policies: tuple[str, ...] = (DISCARD_ON_TIMEOUT,)
    combine: Literal["mean", "median", "trimmed-mean", "krum"] = "mean"
    byzantine: int = 0
    sites: Mapping[str, str] = field(default_factory=dict)

    @property
    def secure(self) -> bool:
        """Whether updates leave a site masked only."""
        return self.aggregation == "secure"

    @property
    def shares_needed(self) -> int:
        """``threshold``, or what it stands for."""
        return self.threshold or self.quorum

    def missing_required(self, present: frozenset[str] | set[str]) -> tuple[str, ...]:
        """Required sites that are not among ``present``."""
        return tuple(site for site in self.required if site not in present)

    def enough(self, present: set[str]) -> bool:
        """Whether these sites make a round: quorum, and everybody who is required."""
        return len(present) >= self.quorum and not self.missing_required(present)


def federation_rules(study: Study) -> Iterator[tuple[bool, str, Any, str]]:
    """Rules of who takes part and of robust aggregation: whether each holds, its key, the value, and why not."""
    federation = study.federation
    yield federation.quorum >= 1, "federation.quorum", federation.quorum, "it must be at least 1"
    deadline, grace = federation.deadline_s, federation.grace_s
    yield 0 < deadline <= _LONGEST_S, "federation.deadline_s", deadline, "it must be above 0 and at most a day"
    yield 0 <= grace <= _LONGEST_S, "federation.grace_s", grace, "it must be at least 0 and at most a day"
    required = list(federation.required)
    names = all(_SITE.fullmatch(site) for site in required) and len(set(required)) == len(required)
    yield names, "federation.required", required, "each is a site's name, and stands once"
    yield from _policy_rules(federation)
    yield from _robust_rules(federation)
    for site, digest in federation.sites.items():
        why = "it must be the SHA-256 of the site's public key; 'gaitkeeper coordinator members' prints the table"
        yield bool(_FINGERPRINT.fullmatch(digest)), f"federation.sites.{site}", digest, why
    if federation.sites:
        listed = set(federation.sites)
        why = "every required site must be one of federation.sites"
        yield set(required) <= listed, "federation.required", required, why
        keys = set(federation.sites.values())
        yield len(keys) == len(listed), "federation.sites", sorted(listed), "two sites have the same key"
        why = f"federation.sites has {len(listed)} sites only"
        yield federation.quorum <= len(listed), "federation.quorum", federation.quorum, why


def _policy_rules(federation: Federation) -> Iterator[tuple[bool, str, Any, str]]:
    policies = list(federation.policies)
    known = set(policies) <= set(POLICIES) and len(set(policies)) == len(policies)
    yield known, "federation.policies", policies, f"each must be one of {', '.join(POLICIES)}, and stand once"
    both = {DISCARD_ON_TIMEOUT, STOP_ON_TIMEOUT} <= set(policies)
    why = "a site that does not reply in time is left out, or it stops the run: not both"
    yield not both, "federation.policies", policies, why


def _robust_rules(federation: Federation) -> Iterator[tuple[bool, str, Any, str]]:
    combine, faulty, quorum = federation.combine, federation.byzantine, federation.quorum
    robust = combine != "mean"
    why = (
        "it compares the updates of single sites, which masks hide; say federation.aggregation = 'plain', "
        "or combine = 'mean'"
    )
    yield not (robust and federation.secure), "federation.combine", combine, why
    why = "with federation.combine = 'mean' every update counts, so that it must be 0"
    yield faulty >= 0 and (robust or faulty == 0), "federation.byzantine", faulty, why
    least = {"krum": 2 * faulty + 3}.get(combine, 2 * faulty + 1)
    why = f"{combine} with {faulty} faulty sites needs {least} sites in each round, federation.quorum is {quorum}"
    yield not robust or quorum >= least, "federation.byzantine", faulty, why
