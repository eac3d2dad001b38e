"""Run the fault matrix, or the cells whose words hold all of the arguments, and write ``docs/faults.md``.

``load``, ``soak``, ``watch`` and ``crowd`` as first argument measure those instead, and ``all`` everything, one after
the other. Exit status: 0 where all that ran is as expected, 130 where it was interrupted, 2 where it cannot be
understood or cannot be measured here, else 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from rich.console import Console
from tests.faults.outcomes import Cell, Outcome, cells, keep
from tests.faults.outcomes import outcome as outcome_of
from tests.faults.outcomes import outcomes as kept
from tests.faults.page import PARTS, write_matrix

if TYPE_CHECKING:
    from tests.faults.stage import Stage

MEASURES: Mapping[str, str] = {
    **{part: part for part in PARTS if part != "matrix"},
    "all": "everything",
}
"""What else can be asked for, and the module that does it."""
_GUIDE = """\
instead of words:
  load    many sites enrol and fetch a release at the same time
  soak    many rounds, and a SIGKILL every few of them
  watch   a camera that breaks off and comes back, over hours
  crowd   the memory of a SuperLink with ever more sites
  all     the matrix and each of these, one after the other

Each of them tells its own options: python -m tests.faults soak --help
"""


def functions() -> Mapping[str, Callable[..., str]]:
    """What a cell of the matrix may do, by name."""
    from tests.faults import certificates, kills, links, order, proxied, registered, states

    found = (
        kills.kill_at_state,
        kills.kill_at_site,
        links.misbehave,
        links.link,
        links.link_down_for_good,
        links.flood,
        order.replies_reversed,
        order.parts_reversed,
        order.reply_again,
        order.late,
        certificates.impostor,
        certificates.site_certificate,
        certificates.revoked,
        certificates.clock,
        states.site_disk_full,
        states.coordinator_disk_full,
        states.site_disk_read_only,
        states.journal_locked,
        states.store_locked,
        states.store_lost,
        states.superlink_files_lost,
        states.ledger_of_old_backup,
        states.two_conductors,
        states.two_services,
        registered.registry_killed,
        proxied.proxied,
    )
    return {function.__name__: function for function in found}


def main(words: Sequence[str]) -> int:
    """Run what is asked for."""
    if words and words[0] in MEASURES:
        try:
            return int(import_module(f"tests.faults.{MEASURES[words[0]]}").main(words[1:]))
        except KeyboardInterrupt:
            print("interrupted: nothing of it was written", file=sys.stderr)
            return 130
    parser = _parser()
    asked = parser.parse_args(words)
    chosen = select(asked.words, left=asked.left)
    if not chosen and not asked.left:
        parser.error(f"no cell of the matrix holds {' and '.join(asked.words)}; --list names them all")
    if asked.list:
        for cell in chosen:
            print(f"{cell.name}\n    {cell.fault}; {cell.moment}")
        return 0
    return run_cells(chosen, verbose=asked.verbose)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Let faults happen to a real deployment on loopback, and write docs/faults.md. Without words: all "
        "cells of the matrix, an hour.",
        epilog=_GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="only cells that hold each of these; see --list")
    parser.add_argument("--left", action="store_true", help="only cells not run yet, or not as expected the last time")
    parser.add_argument("--list", action="store_true", help="name the cells, and run none")
    parser.add_argument("--verbose", action="store_true", help="where a cell breaks, print its last words and logs")
    return parser


def select(words: Sequence[str], *, left: bool = False) -> tuple[Cell, ...]:
    """The cells whose group, name or fault hold each of ``words``; ``left``: but for those that are as expected."""
    good = {name for name, found in kept().items() if found.verdict == "as expected"} if left else set()
    return tuple(
        cell
        for cell in cells()
        if cell.name not in good and all(word in " ".join((cell.group, *cell.does, cell.fault)) for word in words)
    )


def run_cells(chosen: Sequence[Cell], *, verbose: bool) -> int:
    """Run cells one after the other and write the page; the command's exit status."""
    from tests.faults.stage import Stages

    console = Console(width=200)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    outcomes: list[Outcome] = []
    interrupted = False
    try:
        with Stages(say) as stages:
            for number, cell in enumerate(chosen, start=1):
                outcome = run_cell(stages.present(), cell, verbose=verbose)
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


def run_cell(stage: Stage, cell: Cell, *, verbose: bool) -> Outcome:
    """Let one fault happen on a stage."""
    from tests.faults.stage import Unavailable

    started = time.monotonic()
    try:
        measured = functions()[cell.does[0]](stage, *cell.does[1:])
        verdict = "as expected" if measured in cell.expected else "WRONG"
    except Unavailable as error:
        measured, verdict = str(error), "not possible here"
    except Exception as error:  # a cell that breaks is red, and the others are still worth running
        measured, verdict = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}", "WRONG"
        if verbose:
            Console(stderr=True).print(str(error)[-6000:], markup=False)
    return outcome_of(cell, measured, verdict, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
