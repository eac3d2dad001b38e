"""The privacy ledger: charged once, durable, refusing, and closed when it cannot be trusted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey, StoredReply
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget, Spend, epsilon, noise_multiplier

DELTA = 1e-3
BUDGET = Budget(4.0, DELTA)
ROUNDS = 5
SPEND = Spend(noise_multiplier(BUDGET, 0.5, ROUNDS), 0.5, 1)


def key(number: int, run: str = "run", study: str = "s" * 64) -> RoundKey:
    return RoundKey(study, run, number)


def train(*patients: str) -> Charge:
    return Charge("train", patients, SPEND, BUDGET)


def test_a_round_is_charged_once_and_remembered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.charge(key(1), [train("a", "b")])
    assert not ledger.charge(key(1), [train("a", "b")])
    again = Ledger(tmp_path / "ledger.sqlite")
    assert not again.charge(key(1), [train("a", "b")])
    assert again.spent("a") == (SPEND,)
    assert again.patients() == ("a", "b")


def test_the_study_is_affordable_to_its_last_round_and_no_further(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(1, ROUNDS + 1):
        ledger.charge(key(number), [train("a")])
    assert ledger.study_epsilon("s" * 64, DELTA) <= BUDGET.epsilon
    with pytest.raises(GaitkeeperError) as error:
        ledger.charge(key(1, run="another"), [train("a")])
    assert error.value.code == "budget-spent"
    assert len(ledger.entries) == ROUNDS
    ledger.charge(key(1, study="t" * 64), [train("a")])  # another study has its own price


def test_rounds_cost_the_site_even_when_its_patients_change(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(1, ROUNDS + 1):
        ledger.charge(key(number), [train(f"patient-{number}")])
    with pytest.raises(GaitkeeperError, match="epsilon"):
        ledger.charge(key(1, run="another"), [train("somebody-new")])


def test_the_cap_counts_all_studies_together(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    cap = Budget(5.0, DELTA)
    for number in range(1, ROUNDS + 1):
        ledger.charge(key(number), [train("a")], cap)
    charge = train("a", "b")
    other = key(1, study="t" * 64)
    ledger.charge(key(0, study="u" * 64), [train("a")], cap)
    for number in range(1, ROUNDS + 1):
        if ledger.exhausted(key(number, study="t" * 64), charge, cap):
            break
        ledger.charge(key(number, study="t" * 64), [train("a")], cap)
    else:
        pytest.fail("the cap was never reached")
    assert ledger.exhausted(other, charge, cap) == ("a",)
    with pytest.raises(GaitkeeperError) as error:
        ledger.charge(key(99, study="t" * 64), [charge], cap)
    assert error.value.code == "budget-cap"
    assert epsilon(ledger.spent("a"), DELTA) <= 5.0


def test_one_refused_charge_leaves_nothing_of_the_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    dear = Charge("evaluate", ("c",), Spend(0.5, 1.0, 1), Budget(1.0, DELTA))
    with pytest.raises(GaitkeeperError):
        ledger.charge(key(1), [train("a"), dear])
    assert ledger.entries == ()
    assert Ledger(tmp_path / "ledger.sqlite").entries == ()


def test_replies_come_back_and_old_ones_are_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(1, 6):
        ledger.charge(key(number), [train("a")])
        assert ledger.reply(key(number)) is None
        ledger.store_reply(key(number), StoredReply(b"body %d" % number, b"state %d" % number))
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.reply(key(5)) == StoredReply(b"body 5", b"state 5")
    assert ledger.state_before(key(5)) == b"state 4"
    assert ledger.state_before(key(1)) == b""
    with pytest.raises(GaitkeeperError) as error:
        ledger.reply(key(1))
    assert error.value.code == "reply-gone"
    assert ledger.store_reply(key(5), StoredReply(b"x", b"y")).body == b"body 5"


def filled(folder: Path) -> Path:
    ledger = Ledger(folder / "ledger.sqlite")
    for number in (1, 2, 3):
        ledger.charge(key(number), [train("a")])
        ledger.store_reply(key(number), StoredReply(b"body", b"state"))
    return folder / "ledger.sqlite"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET noise_multiplier = 99 WHERE seq = 1",
        "UPDATE entries SET patients = '[]' WHERE seq = 3",
        "DELETE FROM entries WHERE seq = 2",
        "UPDATE entries SET hash = hash || '0' WHERE seq = 6",
    ],
)
def test_a_changed_ledger_is_not_trusted(tmp_path: Path, statement: str) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    with pytest.raises(GaitkeeperError) as error:
        Ledger(path)
    assert error.value.code in ("ledger-damaged", "ledger-rolled-back")


def test_a_ledger_put_back_to_an_older_state_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    shutil.copy(path, tmp_path / "old.sqlite")
    Ledger(path).charge(key(4), [train("a")])
    shutil.copy(tmp_path / "old.sqlite", path)
    with pytest.raises(GaitkeeperError) as error:
        Ledger(path)
    assert error.value.code == "ledger-rolled-back"
    path.unlink()
    with pytest.raises(GaitkeeperError) as error:
        Ledger(path)
    assert error.value.code == "ledger-rolled-back"


def test_an_anchor_that_is_gone_or_broken_closes_the_ledger(tmp_path: Path) -> None:
    path = filled(tmp_path)
    anchor = tmp_path / "ledger.anchor"
    anchor.write_text(json.dumps({"entries": 6, "hash": "f" * 64}))
    with pytest.raises(GaitkeeperError, match="anchor"):
        Ledger(path)
    anchor.write_text("{")
    with pytest.raises(GaitkeeperError, match="trusted"):
        Ledger(path)
    anchor.unlink()
    with pytest.raises(GaitkeeperError, match="missing"):
        Ledger(path)


def test_rubbish_instead_of_a_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database" * 300)
    with pytest.raises(GaitkeeperError) as error:
        Ledger(path)
    assert error.value.code == "ledger-damaged"


def test_a_changed_reply_is_never_sent(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE replies SET body = X'00' WHERE round = 3")
    database.close()
    with pytest.raises(GaitkeeperError) as error:
        Ledger(path).reply(key(3))
    assert error.value.code == "ledger-damaged"


DEAR_NOISE = Charge("train", ("a",), Spend(1000.0, 0.5, 1), BUDGET)


def _killed_at(path: Path, number: int, fatal: int) -> tuple[int, bytes]:
    """Charge and answer round ``number`` in a forked process that kills itself before the ``fatal``-th line of our
    durable code; how it ended and what it had said by then."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def trace(frame, event, argument):  # type: ignore[no-untyped-def]
            nonlocal seen
            if not frame.f_code.co_filename.endswith(("ledger.py", "durable.py")):
                return None
            if event == "line":
                seen += 1
                if seen == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            ledger = Ledger(path)
            sys.settrace(trace)
            ledger.charge(key(number), [DEAR_NOISE])
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


@pytest.mark.slow
def test_killed_at_any_line_it_never_forgets_a_charge(tmp_path: Path) -> None:
    """SIGKILL before every line of the path: what was trained is charged, what was sent is kept, both exactly once."""
    first = tmp_path / "first" / "ledger.sqlite"
    first.parent.mkdir()
    Ledger(first).charge(key(0), [DEAR_NOISE])  # imports and caches what the children need
    status, said = _killed_at(first, 1, -1)
    assert status == 0
    lines = int(said.split()[-1])
    assert lines > 150
    kills = 0
    for number, fatal in enumerate(range(1, lines + 1), start=1):
        path = tmp_path / f"{number % 8}" / "ledger.sqlite"  # short ledgers: a long one takes long to check
        path.parent.mkdir(exist_ok=True)
        status, said = _killed_at(path, number, fatal)
        kills += os.WIFSIGNALED(status)
        ledger = Ledger(path)
        kinds = [entry.kind for entry in ledger.entries if entry.key.round == number]
        assert kinds in ([], ["train"], ["train", "reply"])
        if b"trained" in said:
            assert "train" in kinds
        if b"sent" in said:
            assert ledger.reply(key(number)) == StoredReply(b"body", b"")
    assert kills > 100
