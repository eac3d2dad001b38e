"""The privacy ledger under SIGKILL, before every line of its path. Nothing here needs torch: to copy a process that
holds it takes longer than all else, hence a file of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from gaitkeeper_client.vault.ledger import Charge, Ledger, LedgerKeys, RoundKey, StoredReply
from gaitkeeper_shared.privacy import accounting
from gaitkeeper_shared.privacy.accounting import Budget, Spend

BUDGET = Budget(4.0, 1e-3)
KEYS = LedgerKeys(bytes(range(32)), bytes(range(32, 64)))


def key(number: int) -> RoundKey:
    return RoundKey("s" * 64, "run", number)


def witnessed(folder: Path) -> Ledger:
    """A ledger as a site has it: with a witness, and sealed."""
    return Ledger(folder / "ledger.sqlite", witness=folder / "keys" / "ledger.witness", keys=KEYS)


CHARGE = Charge("train", ("a",), Spend(1000.0, 0.5, 1), BUDGET)


def _killed_at(path: Path, number: int, fatal: int) -> tuple[int, bytes]:
    """Charge and answer round ``number`` in a forked process that kills itself before the ``fatal``-th line of our
    durable code; how it ended and what it had said by then."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def trace(frame, event, argument):  # type: ignore[no-untyped-def]
            nonlocal seen
            if not frame.f_code.co_filename.endswith(("ledger.py", "ledger_chain.py", "ledger_seal.py", "durable.py")):
                return None
            if event == "line":
                seen += 1
                if seen == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            ledger = witnessed(path.parent)
            sys.settrace(trace)
            ledger.charge(key(number), [CHARGE])
            os.write(writer, b"trained ")
            ledger.store_reply(key(number), StoredReply(b"body", b""))
            os.write(writer, b"sent ")
            sys.settrace(None)
            os.write(writer, str(seen).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, said


def _kills_at_every_line(folder: Path) -> int:
    """Kill a charge before every line of its path, looking at the ledger after each; how many kills there were.

    Each is of a copy of the same ledger. That two such steps are within the budget is known beforehand, so that nobody
    has to compute it.
    """
    accounting._planned[CHARGE.spend.noise_multiplier, CHARGE.spend.sample_rate, BUDGET] = 2
    first = folder / "first" / "ledger.sqlite"
    first.parent.mkdir()
    witnessed(first.parent).charge(key(0), [CHARGE])
    shutil.copytree(first.parent, folder / "rehearsed")  # imports what the forks need
    witnessed(folder / "rehearsed").store_reply(key(0), StoredReply(b"body", b""))
    assert "torch" not in sys.modules
    shutil.copytree(first.parent, folder / "whole")
    status, said = _killed_at(folder / "whole" / "ledger.sqlite", 1, -1)
    assert status == 0
    lines = int(said.split()[-1])
    assert lines > 150
    kills = 0
    for fatal in range(1, lines + 1):
        place = folder / "killed"
        shutil.copytree(first.parent, place)
        status, said = _killed_at(place / "ledger.sqlite", 1, fatal)
        kills += os.WIFSIGNALED(status)
        ledger = witnessed(place)
        kinds = [entry.kind for entry in ledger.entries if entry.key.round == 1]
        assert kinds in ([], ["train"], ["train", "reply"])
        if b"trained" in said:
            assert "train" in kinds
        assert ledger.seals_checked
        if b"sent" in said:
            assert ledger.reply(key(1)) == StoredReply(b"body", b"")
        shutil.rmtree(place)
    return kills


@pytest.mark.slow
def test_killed_at_any_line_it_never_forgets_a_charge(tmp_path: Path) -> None:
    """SIGKILL before every line of the path: what was trained is charged, what was sent is kept, both exactly once.

    The forks start from a fresh process: a fork of this one, which other tests filled with threads, may never wake.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_kills_at_every_line, tmp_path).result(timeout=300) > 100
