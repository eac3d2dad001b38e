"""Run the fault matrix, or the cells whose words hold all of the arguments, and write ``docs/faults.md``.

``--left``: only cells that were not run yet, or not as expected. ``load``, ``soak`` and ``watch`` as first argument
measure those instead. Exit status: 0 where all that ran is as expected, 130 where it was interrupted, else 1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from rich.console import Console
from tests.faults import kills, links, proxied, registered, states
from tests.faults.outcomes import Cell, Outcome, cells, keep
from tests.faults.outcomes import outcome as outcome_of
from tests.faults.outcomes import outcomes as kept
from tests.faults.page import write_matrix
from tests.faults.stage import Stage, Stages, Unavailable

_DOES: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        kills.kill_at_state,
        kills.kill_at_site,
        links.misbehave,
        links.reply_again,
        links.late,
        links.link,
        links.link_down_for_good,
        links.impostor,
        links.flood,
        links.revoked,
        links.clock,
        states.site_disk_full,
        states.coordinator_disk_full,
        states.site_disk_read_only,
        states.journal_locked,
        states.store_locked,
        states.ledger_of_old_backup,
        states.two_conductors,
        states.two_services,
        registered.registry_killed,
        proxied.proxied,
    )
}


def run_cell(stage: Stage, cell: Cell) -> Outcome:
    """Let one fault happen."""
    started = time.monotonic()
    try:
        measured = _DOES[cell.does[0]](stage, *cell.does[1:])
        verdict = "as expected" if measured in cell.expected else "WRONG"
    except Unavailable as error:
        measured, verdict = str(error), "not possible here"
    except Exception as error:  # a cell that breaks is red, and the others are still worth running
        measured, verdict = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}", "WRONG"
        if "--verbose" in sys.argv:
            Console(stderr=True).print(str(error)[-6000:], markup=False)
    return outcome_of(cell, measured, verdict, time.monotonic() - started)


def main(words: Sequence[str]) -> int:
    """Run what is asked for."""
    if words and words[0] in ("load", "soak", "watch"):
        return int(import_module(f"tests.faults.{words[0]}").main(words[1:]))
    good = {name for name, found in kept().items() if found.verdict == "as expected"} if "--left" in words else set()
    wanted = [word for word in words if not word.startswith("--")]
    chosen = [
        cell
        for cell in cells()
        if cell.name not in good and all(word in " ".join((cell.group, *cell.does, cell.fault)) for word in wanted)
    ]
    console = Console(width=200)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    outcomes: list[Outcome] = []
    interrupted = False
    try:
        with Stages(say) as stages:
            for number, cell in enumerate(chosen, start=1):
                outcome = run_cell(stages.present(), cell)
                outcomes.append(outcome)
                keep([outcome])  # at once: who interrupts a long run keeps what is there
                write_matrix()
                line = f"{number:3}/{len(chosen)} {outcome.seconds:5.1f} s {outcome.verdict:12} {' '.join(cell.does)}"
                say(f"{line}: {outcome.measured}")
                if outcome.verdict == "WRONG":
                    # What a fault left behind must not be taken for the fault of the next cell.
                    stages.strike(keep=True)
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted: the page tells what was run")
    write_matrix()
    return 130 if interrupted else int(any(outcome.verdict == "WRONG" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
