"""Faults of the line between one site and the coordinator, and of what comes over it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.nodes import SITE, other_node
from tests.faults.readings import memory_mib
from tests.faults.relay import Mode
from tests.faults.stage import MOMENT_S, Stage
from tests.faults.words import summary

FLOOD_MIB = 384
"""What a site may be sending, 128 MiB, as it comes and as it is read, its quota, and room to spare."""
_NAMED = {"size": "more than [0-9]+ bytes,", "number": "more than [0-9]+ objects", "haste": "bytes at a time"}


def link(stage: Stage, mode: Mode, seconds: str = "0") -> str:
    """The link of one site fails while it trains; after ``seconds`` it is well again (0: at once, or by itself)."""
    relay = stage.relays[SITE]
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        relay.set(mode)
        if mode == "held":
            relay.drop()  # what is stalled is the handshake of a new connection
        trap.release()
        stage.pause(float(seconds))
        if float(seconds):
            relay.set("pass")
            relay.drop()
        return summary(stage.end_of(run))
    finally:
        trap.release()
        relay.set("pass")


def link_down_for_good(stage: Stage, mode: Mode) -> str:
    """The link of one site fails before a run and stays so until its end."""
    relay = stage.relays[SITE]
    relay.set(mode)
    if mode == "cut":
        stage.pause(2.0)
    try:
        # The other sites must be done by then, also on a busy machine.
        return summary(stage.end_of(stage.begin(rounds=1, deadline_s=45.0)))
    finally:
        relay.set("pass")
        relay.drop()
        stage.children.restart(f"{SITE}-node")
        stage.pause(6.0)


def misbehave(stage: Stage, what: str) -> str:
    """A site sends something that must not count; a round later it behaves."""
    stage.wish(SITE, what)
    return summary(stage.end_of(stage.begin()))


def flood(stage: Stage) -> str:
    """One site's node sends, in place of each reply, as much as it can; what that takes of the SuperLink's memory."""
    superlink = stage.pid("superlink")
    before = memory_mib(superlink)
    Path(f"/proc/{superlink}/clear_refs").write_text("5", "ascii")  # its peak is counted from here
    with other_node(stage, "tests.faults.flooding_node"):
        ended = summary(stage.end_of(stage.begin()))
        stage.pause(1.0)
        grown = memory_mib(superlink, "VmHWM") - before
    told = (stage.home.logs / "superlink.log").read_text("utf-8", errors="replace")
    named = [what for what, words in _NAMED.items() if re.search(rf"{SITE}.*{words}", told)]
    well = f"memory within {FLOOD_MIB} MiB more" if grown <= FLOOD_MIB else f"memory grew by {grown:.0f} MiB"
    after = summary(stage.end_of(stage.begin(rounds=1)))
    return f"{ended}; the log names the site for {', '.join(named) or 'nothing'}; {well}; then {after}"
