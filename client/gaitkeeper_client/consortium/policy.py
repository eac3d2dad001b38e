"""The site's own rules, ``policy.toml``: what a consortium may do here at most. Default deny, before each round.

An approval says yes to one study; the policy bounds every yes. It is written by the site's operator and read anew
before every round, so that a change counts at once. A refusal names the rule to the coordinator, not a number of the
data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, time
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.language.texts import say
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.plan import local_epsilon, plan
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.toml import table_of
from gaitkeeper_shared.trust.clock import Clock, utc_now

POLICY_SCHEMA = "gaitkeeper.policy/1"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class StudyRules:
    """Limits on a study. ``allowed``: full hashes, None for every approved one.

    ``max_local_epsilon``: for one site's updates alone, see ``privacy.plan.local_epsilon``. ``min_patients``: asked
    when the study is approved, never in a round, where a refusal would tell about single patients.
    ``require_members``: whether a study under secure aggregation must list its members and their keys.
    """

    allowed: frozenset[str] | None
    max_rounds: int
    max_epsilon: float
    max_delta: float
    max_local_epsilon: float
    require_secure: bool
    min_patients: int
    require_members: bool = False


@dataclass(frozen=True, slots=True)
class Hours:
    """When training may start: from ``start`` to ``end`` of the day in ``zone``, over midnight where end is earlier."""

    start: time
    end: time
    zone: ZoneInfo

    def allow(self, now: datetime) -> bool:
        """Whether ``now`` (aware) lies between."""
        local = now.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M} {self.zone.key}"


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """The whole policy. ``roots``: allowed roots' fingerprints, None: the enrolled one; ``hours``: None is always.

    ``metrics_leave``: whether noised counts over held-out patients may leave; ``metrics_min_patients``: of at least how
    many, asked when a study is approved. ``take_new_peers``: whether this site
    masks with one that it never masked with before and that no approved study lists.
    """

    studies: StudyRules
    roots: frozenset[str] | None
    hours: Hours | None
    metrics_leave: bool
    metrics_min_patients: int = 0
    take_new_peers: bool = True

    def check_study(self, study: Study, study_hash: str) -> None:
        """Raises ``policy-refuses``, naming the rule, for a study beyond the limits."""
        rules = self.studies
        epsilon = max(study.privacy.epsilon, study.evaluation.epsilon if study.evaluation.holdout else 0.0)
        _require(rules.allowed is None or study_hash in rules.allowed, study, "studies.allowed", "it is not listed")
        _require(study.training.rounds <= rules.max_rounds, study, "studies.max_rounds", "it has more rounds")
        _require(epsilon <= rules.max_epsilon, study, "studies.max_epsilon", "it costs more")
        _require(study.privacy.delta <= rules.max_delta, study, "studies.max_delta", "it asks for more")
        secure = study.federation.secure
        _require(secure or not rules.require_secure, study, "studies.require_secure", "its aggregation is plain")
        named = bool(study.federation.sites) or not secure or not rules.require_members
        _require(named, study, "studies.require_members", "it does not list its members")
        privacy = study.privacy
        # With local trust one site alone costs what the study promises; the accountant takes seconds to start.
        local = privacy.epsilon if privacy.trust == "local" else local_epsilon(study, plan(study))
        _require(local <= rules.max_local_epsilon, study, "studies.max_local_epsilon", "one site alone costs more")

    def check_coordinator(self, root_sha256: str, study: Study) -> None:
        """Raises ``policy-refuses`` where the enrolled consortium is not one of those allowed."""
        _require(
            self.roots is None or root_sha256 in self.roots, study, "coordinators.allowed", "its root is not listed"
        )

    def check_hours(self, now: datetime, study: Study) -> None:
        """Raises ``policy-refuses`` outside of the hours."""
        _require(self.hours is None or self.hours.allow(now), study, "hours", f"training starts from {self.hours}")

    def check_patients(self, count: int, study: Study) -> None:
        """For the approval: raises ``policy-refuses`` where fewer patients have a label that the study uses."""
        _require(count >= self.studies.min_patients, study, "studies.min_patients", "too few patients fit it")

    def counts_may_leave(self, held_out: int) -> bool:
        """For the approval: whether counts over so many held-out patients may leave, noised."""
        return self.metrics_leave and held_out >= self.metrics_min_patients


def default_policy() -> bytes:
    """The policy that a new site starts with, with its explanations."""
    return (files("gaitkeeper_client.consortium") / "policy.toml").read_bytes()


def write_default_policy(home: SiteHome) -> None:
    """Give a home the default policy; one that is there is left alone."""
    if not home.policy_file.exists():
        write_durably(home.policy_file, default_policy())


def load_policy(home: SiteHome) -> SitePolicy:
    """The site's policy. Raises ``policy-missing`` or ``policy-damaged``."""
    try:
        table = table_of(home.policy_file.read_bytes())
    except FileNotFoundError as error:
        raise GaitkeeperError("policy-missing", path=home.policy_file) from error
    except (OSError, ValueError) as error:
        raise GaitkeeperError("policy-damaged", path=home.policy_file, detail=error) from error
    try:
        return _policy(table)
    except (ValueError, TypeError, KeyError) as error:
        detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise GaitkeeperError("policy-damaged", path=home.policy_file, detail=detail) from error


def check_training(home: SiteHome, study: Study, study_hash: str, *, clock: Clock = utc_now) -> SitePolicy:
    """What must hold before a round of ``study`` starts; the policy, for what is only known later.

    Raises ``policy-missing``, ``policy-damaged``, ``policy-refuses``, ``not-enrolled``.
    """
    policy = load_policy(home)
    policy.check_study(study, study_hash)
    if policy.roots is not None:
        policy.check_coordinator(CoordinatorConnection.load(home).root_sha256, study)
    policy.check_hours(clock(), study)
    return policy


def in_plain_words(policy: SitePolicy) -> tuple[str, ...]:
    """The policy as sentences."""
    rules = policy.studies
    allowed = say("rules.approved") if rules.allowed is None else say("rules.listed", count=len(rules.allowed))
    limits = {"rounds": rules.max_rounds, "epsilon": rules.max_epsilon, "delta": rules.max_delta}
    alone = say("rules.alone", epsilon=rules.max_local_epsilon)
    peers = say("rules.peers" if policy.take_new_peers else "rules.no_peers")
    return (
        say("rules.trains", studies=allowed, **limits),
        f"{alone} {say('rules.secure')}" if rules.require_secure else alone,
        say("rules.patients", count=rules.min_patients) if rules.min_patients else say("rules.any_patients"),
        say("rules.own_root") if policy.roots is None else say("rules.roots", count=len(policy.roots)),
        _hours_said(policy.hours) if policy.hours else say("rules.always"),
        _counts_said(policy),
        f"{peers} {say('rules.members')}" if rules.require_members else peers,
    )


def _counts_said(policy: SitePolicy) -> str:
    if not policy.metrics_leave:
        return say("rules.no_counts")
    least = policy.metrics_min_patients
    return say("rules.counts_of", count=least) if least else say("rules.counts")


def _hours_said(hours: Hours) -> str:
    return say("rules.hours", start=f"{hours.start:%H:%M}", end=f"{hours.end:%H:%M}", zone=hours.zone.key)


def _require(holds: bool, study: Study, rule: str, why: str) -> None:
    if not holds:
        raise GaitkeeperError("policy-refuses", study=study.name, rule=rule, why=why)


def _policy(table: Mapping[str, Any]) -> SitePolicy:
    _known(table, "", {"schema", "studies", "coordinators", "hours", "metrics", "peers"})
    if table["schema"] != POLICY_SCHEMA:
        raise ValueError(f"schema must be {POLICY_SCHEMA!r}")
    studies, hours, metrics = table["studies"], table["hours"], table["metrics"]
    _known(studies, "studies.", {item.name for item in fields(StudyRules)})
    _known(table["coordinators"], "coordinators.", {"allowed"})
    _known(hours, "hours.", {"from", "until", "zone"})
    _known(metrics, "metrics.", {"may_leave", "min_patients"})
    # Not in the policies of earlier versions, which took every new peer and told so, and knew no least number.
    peers, members = table.get("peers", {"new": "pin"}), studies.get("require_members", False)
    _known(peers, "peers.", {"new"})
    if peers["new"] not in ("pin", "refuse"):
        raise ValueError("peers.new must be 'pin' or 'refuse'")
    switches = {
        "metrics.may_leave": metrics["may_leave"],
        "studies.require_secure": studies["require_secure"],
        "studies.require_members": members,
    }
    for name, value in switches.items():
        if type(value) is not bool:
            raise ValueError(f"{name} must be true or false")
    rules = StudyRules(
        _hashes(studies["allowed"], "studies.allowed", "approved"),
        _whole(studies["max_rounds"], "studies.max_rounds"),
        _number(studies["max_epsilon"], "studies.max_epsilon"),
        _number(studies["max_delta"], "studies.max_delta"),
        _number(studies["max_local_epsilon"], "studies.max_local_epsilon"),
        studies["require_secure"],
        _whole(studies["min_patients"], "studies.min_patients"),
        members,
    )
    roots = _hashes(table["coordinators"]["allowed"], "coordinators.allowed", "enrolled")
    least = _whole(metrics.get("min_patients", 0), "metrics.min_patients")
    return SitePolicy(rules, roots, _hours(hours), metrics["may_leave"], least, peers["new"] == "pin")


def _known(table: Any, prefix: str, names: set[str]) -> None:
    if not isinstance(table, dict):
        raise TypeError(f"{prefix or 'it'} must be a table")
    if unknown := sorted(set(table) - names):
        raise ValueError(f"{prefix}{unknown[0]} is not known; known are {', '.join(sorted(names))}")


def _hashes(value: Any, name: str, word: str) -> frozenset[str] | None:
    if value == word:
        return None
    listed = isinstance(value, list) and all(isinstance(h, str) and len(h) == 64 and set(h) <= _HEX for h in value)
    if not listed:
        raise ValueError(f"{name} must be {word!r} or a list of SHA-256 hashes, 64 lower-case hex digits each")
    return frozenset(value)


def _whole(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number, 0 or more")
    return float(value)


def _hours(table: Mapping[str, Any]) -> Hours | None:
    if table["from"] == "" and table["until"] == "":
        return None
    try:
        hours = Hours(time.fromisoformat(table["from"]), time.fromisoformat(table["until"]), ZoneInfo(table["zone"]))
    except (ValueError, TypeError, ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"hours needs from and until as HH:MM and a zone such as Europe/Berlin ({error})") from error
    if hours.start == hours.end or hours.start.tzinfo or hours.end.tzinfo:
        raise ValueError("hours.from and hours.until must be two different times of the day, HH:MM")
    return hours
