"""SIGKILL of each process at each state of a round, and of all at once, as when a machine loses its power."""

from __future__ import annotations

from tests.faults.stage import BACK_S, MOMENT_S, SITES, Stage
from tests.faults.traps import Trap
from tests.faults.words import summary

VICTIM_SITE = SITES[0]


def victims(stage: Stage, victim: str, run: str, site: str = VICTIM_SITE) -> tuple[str, ...]:
    """The processes that a kind of death takes, by their names as children."""
    if victim == "machine":
        return stage.everything(run)
    return {
        "conductor": (run,),
        "superlink": ("superlink",),
        "coordinator": (run, "superlink"),
        "node": (f"{site}-node",),
        "executor": (f"{site}-executor",),
        "site": (f"{site}-node", f"{site}-executor"),
    }[victim]


def kill_at_state(stage: Stage, victim: str, moment: str) -> str:
    """Kill while the coordinator has just written a state of the first round."""
    trap = stage.trap("conductor", moment)
    run = stage.begin(grace_s=BACK_S)
    return _kill_and_go_on(stage, run, victim, trap)


def kill_at_site(stage: Stage, victim: str, moment: str) -> str:
    """Kill while one site is at a moment of its round: asked, charged, or with its reply stored and not sent."""
    trap = stage.trap(VICTIM_SITE, moment)
    run = stage.begin(grace_s=BACK_S)
    return _kill_and_go_on(stage, run, victim, trap)


def _kill_and_go_on(stage: Stage, run: str, victim: str, trap: Trap) -> str:
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.kill(*victims(stage, victim, run))
    finally:
        trap.release()
    return summary(stage.end_of(run))
