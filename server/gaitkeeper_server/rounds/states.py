"""Names of what may become of a run, of a round, and of a site in a round. Stored in the journal, shown everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RunState(StrEnum):
    """A run's state; the last four are terminal."""

    REQUESTED = "requested"
    RUNNING = "running"
    PAUSED = "paused"
    """By an operator, or by itself over what can be mended. It has no conductor until an operator resumes it."""
    SUCCEEDED = "succeeded"
    DEGRADED = "degraded"
    """The run came to its end, at least one round on fewer sites than it asked, or lost."""
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to the run."""
        return self in (RunState.SUCCEEDED, RunState.DEGRADED, RunState.FAILED, RunState.STOPPED)


class RoundState(StrEnum):
    """A round's state."""

    INVITED = "invited"
    DISPATCHED = "dispatched"
    REPLIED = "replied"
    AGGREGATED = "aggregated"
    COMMITTED = "committed"
    ABANDONED = "abandoned"
    """Too few sites replied in time; the run was paused or stopped here, or failed. A resumed run opens it again."""
    LOST = "lost"
    """Its masked sum could not be opened after a lie, or not be used; the run went on from the round before."""

    @property
    def closed(self) -> bool:
        """Whether the run has gone past the round."""
        return self in (RoundState.COMMITTED, RoundState.LOST)


class Outcome(StrEnum):
    """What a site did in a round."""

    INVITED = "invited"
    DISPATCHED = "dispatched"
    TRAINED = "trained"
    """Its masked update is there; whether it counts is known when the sum is open."""
    INCLUDED = "included"
    REFUSED = "refused"
    FAILED = "failed"
    LATE = "late"
    ABSENT = "absent"

    @property
    def open(self) -> bool:
        """Whether the site may still reply."""
        return self in (Outcome.INVITED, Outcome.DISPATCHED, Outcome.TRAINED)


class Wish(StrEnum):
    """What an operator asked of a run."""

    GO = "go"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the journal has it. ``sites`` are those of the consortium when it was requested; times are UTC ISO."""

    run: str
    study_name: str
    study_hash: str
    state: RunState
    detail: str
    wish: Wish
    rounds: int
    committed: int
    sites: tuple[str, ...]
    created_at: str
    updated_at: str
    model_version: int | None
    published: bool
    """Whether the registry has it: metrics, and a model version where one came out of the run."""

    @property
    def paused_itself(self) -> bool:
        """Whether the run rests though no operator asked it to: it waits for somebody to look."""
        return self.state is RunState.PAUSED and self.wish is Wish.GO


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """A round as the journal has it; ``number`` = rounds + 1 is the final evaluation."""

    run: str
    number: int
    state: RoundState
    started_at: str
    finished_at: str | None
    weights_sha256: str | None


@dataclass(frozen=True, slots=True)
class SiteOutcome:
    """What one site did in one round, and why. ``metrics`` are noised counts as the site sent them."""

    site: str
    outcome: Outcome
    code: str = ""
    message: str = ""
    epsilon_spent: float = 0.0
    delta: float = 0.0
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
