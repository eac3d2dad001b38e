"""Many rounds with a death every few of them: what is lost, what grows, what is left behind."""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from tests.faults.application import ledger_of
from tests.faults.kills import victims
from tests.faults.page import write_part
from tests.faults.readings import memory_mib, status_of
from tests.faults.stage import SITES, Stage, Stages
from tests.faults.words import summary
from tests.measured import commit

ROUNDS_A_RUN = 10
ROUNDS_A_KILL = 4
"""On average."""
VICTIMS = ("conductor", "superlink", "coordinator", "node", "executor", "site", "machine")
REST_S = 3.0
PARTS = ("superlink", "node", "executor")
FILES_A_RUN, MIB_A_ROUND = 4, 0.1
"""More than that is a leak: a run leaves a log of its own and its row in the journal; 200 rounds, less than 20 MiB."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process while nothing happens, after ``round`` rounds in all. ``mib``: of resident memory."""

    part: str
    pid: int
    round: int
    mib: float
    files: int
    threads: int


@dataclass
class Diary:
    """What was seen on the way."""

    ends: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    temporary: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0
    broken: str = ""


def main(words: Sequence[str]) -> int:
    """Play, print, and write the page's part."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults soak",
        description="Many rounds on the stage of the matrix, with a SIGKILL of something every few of them.",
    )
    parser.add_argument("--rounds", type=int, default=200, help="in runs of ten (default: %(default)d)")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed, and when (default: %(default)d)")
    parser.add_argument(
        "--minutes", type=float, default=120.0, help="no new run begins after this (default: %(default).0f)"
    )
    asked = parser.parse_args(words)
    console, diary, chance = Console(), Diary(), random.Random(asked.seed)
    charged: dict[str, int] = {}

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    started, interrupted = time.monotonic(), False
    try:
        with Stages(say) as stages:
            stage = stages.present()
            try:
                _rest(stage, diary)
                while diary.rounds < asked.rounds and time.monotonic() - started < asked.minutes * 60:
                    ended = _run(stage, diary, chance)
                    diary.ends[ended] += 1
                    _rest(stage, diary)
                    diary.seconds = time.monotonic() - started
                    say(f"{diary.rounds:4} rounds {diary.seconds:6.0f} s {diary.kills.total():3} kills: {ended}")
            except AssertionError as error:  # what must hold did not: the page says so
                diary.broken = str(error).splitlines()[0][:300]
            finally:
                charged = _charged(stage)
                stages.strike(keep=bool(diary.broken))
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted: the page tells what was run")
    text = _words(diary, charged, asked.seed)
    say(text)
    write_part("soak", text)
    sound = not diary.broken and not leaks(diary, charged)
    good = sound and set(diary.ends) == {"succeeded"} and diary.rounds >= asked.rounds
    return 130 if interrupted else int(not good)


def _run(stage: Stage, diary: Diary, chance: random.Random) -> str:
    """One run of some rounds, and its deaths."""
    run = stage.begin(rounds=ROUNDS_A_RUN, deadline_s=600.0)
    at = 1
    while (at := at + max(1, round(chance.expovariate(1 / ROUNDS_A_KILL)))) < ROUNDS_A_RUN:
        stage.wait(lambda number=at: _reached(stage, run, number), 600)  # type: ignore[misc]
        stage.pause(chance.uniform(0.0, 1.0))
        victim = chance.choice(VICTIMS)
        site = chance.choice(SITES)
        alive = {child.name for child in stage.children.status() if child.pid is not None}
        if set(doomed := victims(stage, victim, run, site)) <= alive and not stage.journal.run(run).state.terminal:
            stage.kill(*doomed)
            diary.kills[victim] += 1
    ended = stage.end_of(run, 1800)
    diary.rounds += len(ended.rounds)
    return summary(ended)


def _reached(stage: Stage, run: str, rounds: int) -> bool:
    record = stage.journal.run(run)
    return record.state.terminal or record.committed >= rounds


def _rest(stage: Stage, diary: Diary) -> None:
    """Let everything come back and be still, then look at it."""
    stage.wait(lambda: all(child.pid is not None for child in stage.children.status()), 120)
    stage.pause(REST_S)
    for child in stage.children.status():
        if child.pid is not None:
            diary.samples.append(_sample(child.name, child.pid, diary.rounds))
    diary.processes.append(_descendants())
    diary.temporary.append(sum(1 for _ in stage.temporary.iterdir()))
    files = (path for path in stage.folder.rglob("*") if path.is_file() and path.suffix != ".hit")
    diary.kept.append(sum(1 for path in files if stage.temporary not in path.parents))


def _sample(name: str, pid: int, number: int) -> Sample:
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    part = name.rpartition("-")[2]
    return Sample(part, pid, number, memory_mib(pid), files, int(status_of(pid)["Threads"]))


def _descendants() -> int:
    """Processes below this one, however deep."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text("ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, todo = 0, [os.getpid()]
    while todo:
        children = parents.get(todo.pop(), [])
        found += len(children)
        todo += children
    return found


def _charged(stage: Stage) -> dict[str, int]:
    """Rounds that each site's ledger was charged for."""
    return {
        site: sum(entry.kind == "train" for entry in ledger_of(stage.folder / site).entries)
        for site in SITES
        if site in stage.keys
    }


def _words(diary: Diary, charged: dict[str, int], seed: int) -> str:
    ends = ", ".join(f"{count} {end}" for end, count in diary.ends.most_common())
    kills = ", ".join(f"{count} {victim}" for victim, count in diary.kills.most_common())
    lines = [
        f"{diary.rounds} rounds in {diary.ends.total()} runs, {diary.seconds / 60:.0f} minutes, seed {seed}, commit "
        f"{commit()}; {diary.kills.total()} kills ({kills}). Runs: {ends}. Rounds charged: "
        + ", ".join(f"{site} {count}" for site, count in charged.items())
        + ".",
    ]
    lines += [line for why in (diary.broken, *leaks(diary, charged)) if why for line in ("", f"**WRONG**: {why}")]
    lines += [
        "",
        f"At rest, at the beginning and at the end: processes {_ends(diary.processes)}; files of coordinator and sites "
        f"{_ends(diary.kept)} (journal, ledgers, logs; a log for each run); what all of them left in the folder "
        f"for temporary files {_ends(diary.temporary)}.",
        "",
        "| process | seen | MiB first | MiB last | MiB largest | MiB a round, of one process | files | threads |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in PARTS:
        mine = [sample for sample in diary.samples if sample.part == part]
        if mine:
            lines.append(_row(part, mine))
    return "\n".join(lines)


def leaks(diary: Diary, charged: Mapping[str, int]) -> list[str]:
    """What there is more of at the end than the rounds explain: processes, files, memory, charges."""
    found = [f"{site} was charged {count} times" for site, count in charged.items() if count > diary.rounds]
    runs = diary.ends.total()
    for what, numbers, more in (
        ("processes", diary.processes, 0),
        ("temporary files", diary.temporary, 0),
        ("files", diary.kept, FILES_A_RUN * runs),
    ):
        if numbers and numbers[-1] > numbers[0] + more:
            found.append(f"{what} went from {numbers[0]} to {numbers[-1]} in {runs} runs")
    for part in PARTS:
        grown = _growth([sample for sample in diary.samples if sample.part == part])
        if grown and statistics.median(grown) > MIB_A_ROUND:
            found.append(f"{part} grows by {statistics.median(grown):.3f} MiB a round")
    return found


def _growth(samples: Sequence[Sample]) -> list[float]:
    """MiB a round of each process that lived long enough."""
    lives = {sample.pid: [other for other in samples if other.pid == sample.pid] for sample in samples}
    return [slope for slope in map(_slope, lives.values()) if slope is not None]


def _ends(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} and {numbers[-1]}" if numbers else "unknown"


def _row(part: str, samples: Sequence[Sample]) -> str:
    first = [s.mib for s in samples if s.round == samples[0].round]
    last = [s.mib for s in samples if s.round == samples[-1].round]
    grown = _growth(samples)
    growth = f"{statistics.median(grown):+.3f} (median of {len(grown)})" if grown else "none lived long enough"
    files, threads = ([getattr(s, name) for s in samples] for name in ("files", "threads"))
    return (
        f"| {part} | {len({s.pid for s in samples})} processes | {statistics.mean(first):.0f} | "
        f"{statistics.mean(last):.0f} | {max(s.mib for s in samples):.0f} | {growth} | {min(files)} to {max(files)} | "
        f"{min(threads)} to {max(threads)} |"
    )


def _slope(lives: Sequence[Sample]) -> float | None:
    """MiB a round over the life of one process but for its first run, in which it loads what it needs."""
    settled = [sample for sample in lives if sample.round >= lives[0].round + ROUNDS_A_RUN]
    if len(settled) < 3:
        return None
    return float(statistics.linear_regression([s.round for s in settled], [s.mib for s in settled]).slope)
