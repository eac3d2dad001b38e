"""What a study says of sites that are missing from a round: who is required, who is waited for, what stops the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gaitkeeper_server.rounds.states import Outcome, RoundState, RunRecord, SiteOutcome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.study_federation import STOP_ON_DISCONNECT, STOP_ON_ERROR, STOP_ON_TIMEOUT

STOPPED_BY_STUDY = "round-stopped"
_STOPS: Mapping[Outcome, str] = {
    Outcome.LATE: STOP_ON_TIMEOUT,
    Outcome.ABSENT: STOP_ON_DISCONNECT,
    Outcome.FAILED: STOP_ON_ERROR,
    Outcome.REFUSED: STOP_ON_ERROR,
}


def stop_if_told(study: Study, number: int, settled: Iterable[SiteOutcome]) -> None:
    """Return where no policy of the study stops the run over these words. Raises ``round-stopped``."""
    for outcome in settled:
        policy = _STOPS.get(outcome.outcome)
        if policy in study.federation.policies:
            raise GaitkeeperError(STOPPED_BY_STUDY, round=number, policy=policy, why=_word(outcome))


def check_enough(
    study: Study, record: RunRecord, number: int, included: Iterable[str], settled: Iterable[SiteOutcome]
) -> None:
    """Return where quorum and every required site are in a round. Raises ``quorum-missed`` or ``required-missed``."""
    federation, there = study.federation, set(included)
    if federation.enough(there):
        return
    outcomes = "; ".join(_word(o) for o in sorted(settled, key=lambda o: o.site) if o.site not in there)
    outcomes = outcomes or "nobody else is enrolled"
    if len(there) < federation.quorum:
        raise GaitkeeperError(
            "quorum-missed",
            round=number,
            included=len(there),
            quorum=federation.quorum,
            outcomes=outcomes,
            run=record.run,
        )
    missing = ", ".join(federation.missing_required(there))
    raise GaitkeeperError("required-missed", round=number, missing=missing, outcomes=outcomes, run=record.run)


def shortfall(rounds: Iterable[tuple[int, RoundState, Iterable[SiteOutcome]]]) -> str:
    """Which rounds went without whom, or were lost; empty where every round had every site."""
    short = []
    for number, state, outcomes in rounds:
        missing = [outcome.site for outcome in outcomes if outcome.outcome is not Outcome.INCLUDED]
        if state is RoundState.LOST:
            short.append(f"round {number} lost")
        elif missing:
            short.append(f"round {number} without {', '.join(missing)}")
    return "; ".join(short)


def _word(outcome: SiteOutcome) -> str:
    return f"{outcome.site} {outcome.outcome}" + (f" ({outcome.message or outcome.code})" if outcome.code else "")
