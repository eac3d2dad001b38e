"""The privacy ledger: charged once, durable, refusing, and closed when it cannot be trusted."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gaitkeeper_client.vault.ledger import Charge, Ledger, LedgerKeys, RoundKey, StoredReply
from gaitkeeper_client.vault.ledger_chain import LedgerChain
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
    assert ledger.charge(key(1), [train("a", "b")]) == {"train": {"a", "b"}}
    assert ledger.charge(key(1), [train("a", "b")]) == {"train": {"a", "b"}}
    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.charge(key(1), [train("a", "b")]) == {"train": {"a", "b"}}
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


def test_a_round_asked_for_again_is_for_those_whom_it_was_charged_to(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.charge(key(1), [train("a", "b")])
    assert ledger.charge(key(1), [train("b", "newcomer")]) == {"train": {"a", "b"}}
    assert ledger.spent("newcomer") == ()


def test_the_last_affordable_round_can_be_asked_for_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(1, ROUNDS + 1):
        ledger.charge(key(number), [train("a")], BUDGET)
    assert ledger.charge(key(ROUNDS), [train("a")], BUDGET) == {"train": {"a"}}
    assert len(ledger.entries) == ROUNDS


def test_a_charge_of_one_kind_does_not_pay_for_the_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    judge = Charge("evaluate", ("c",), Spend(5.0, 1.0, 1), BUDGET)
    ledger.charge(key(2), [judge])
    assert ledger.charge(key(2), [train("a"), judge]) == {"train": {"a"}, "evaluate": {"c"}}
    assert [entry.kind for entry in ledger.entries] == ["evaluate", "train"]
    assert ledger.spent("a") == (SPEND,)


def test_a_round_charged_at_another_price_is_not_trained(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.charge(key(1), [Charge("train", ("a",), Spend(50.0, 0.5, 1), BUDGET)])
    with pytest.raises(GaitkeeperError, match="another price"):
        ledger.charge(key(1), [train("a")])


def _message_at_the_cap(folder: Path, *patients: str) -> str:
    folder.mkdir()
    ledger = Ledger(folder / "ledger.sqlite")
    cap = Budget(5.0, DELTA)
    for number in range(1, ROUNDS + 1):
        ledger.charge(key(number), [train(*patients)], cap)
    with pytest.raises(GaitkeeperError) as error:  # noqa: PT012  # one of the next rounds is one too many
        for number in range(1, ROUNDS + 1):
            ledger.charge(key(number, study="t" * 64), [train(*patients)], cap)
    assert error.value.code == "budget-cap"
    assert 4.0 < epsilon(ledger.site_spent("train"), DELTA) <= 5.0
    with pytest.raises(GaitkeeperError, match="cap"):
        ledger.charge(key(99, study="t" * 64), [train("newcomer")], cap)
    return error.value.message


def test_the_cap_counts_all_studies_and_its_refusal_tells_nothing_of_patients(tmp_path: Path) -> None:
    assert _message_at_the_cap(tmp_path / "full", "a", "b") == _message_at_the_cap(tmp_path / "empty")


def test_a_patient_at_the_cap_is_left_out_silently(tmp_path: Path) -> None:
    """Held out in one study, trained on in the next: the site's rounds of either kind fit, this patient's do not."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    cap = Budget(4.2, DELTA)
    noise = noise_multiplier(Budget(4.0, DELTA), 1.0, 1)
    ledger.charge(key(1, study="t" * 64), [Charge("evaluate", ("a",), Spend(noise, 1.0, 1), BUDGET)], cap)
    assert ledger.charge(key(1), [train("a", "b")], cap) == {"train": {"b"}}
    assert ledger.spent("a", "s" * 64) == ()


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
    assert ledger.state_before(key(6)) == b"state 5"
    assert ledger.state_before(key(1)) == b""
    for number in (1, 4):
        with pytest.raises(GaitkeeperError) as error:
            ledger.reply(key(number))
        assert error.value.code == "reply-gone"
    assert ledger.store_reply(key(5), StoredReply(b"x", b"y")).body == b"body 5"


def test_a_dropped_reply_leaves_no_byte_in_the_file(tmp_path: Path) -> None:
    ledger, other = Ledger(tmp_path / "ledger.sqlite"), key(1, study="t" * 64)
    for number in (1, 2):
        ledger.charge(key(number), [train("a")])
        ledger.store_reply(key(number), StoredReply(b"update-%d" % number * 2000, b"state-%d" % number * 2000))
    ledger.store_reply(other, StoredReply(b"another", b""))
    assert b"update-2" in ledger.path.read_bytes()
    assert b"update-1" not in ledger.path.read_bytes()
    ledger.forget_replies("s" * 64)
    left = ledger.path.read_bytes()
    assert b"update-" not in left
    assert b"state-" not in left
    ledger = Ledger(ledger.path)
    assert ledger.spent("a") == (SPEND, SPEND)
    assert ledger.reply(other) == StoredReply(b"another", b"")
    assert ledger.state_before(key(3)) == b""
    with pytest.raises(GaitkeeperError) as error:
        ledger.reply(key(2))
    assert error.value.code == "reply-gone"


def test_a_closed_round_is_never_answered(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in (1, 2):
        ledger.charge(key(number), [train("a")])
    ledger.store_reply(key(1), StoredReply(b"body", b"state"))
    assert ledger.close_unanswered() == (key(2),)
    assert ledger.close_unanswered() == ()
    ledger = Ledger(ledger.path)
    with pytest.raises(GaitkeeperError) as error:
        ledger.reply(key(2))
    assert error.value.code == "reply-gone"
    assert ledger.reply(key(1)) == StoredReply(b"body", b"state")
    assert ledger.spent("a") == (SPEND, SPEND)
    assert ledger.reply(key(3)) is None


def test_an_anchor_never_counts_fewer_entries_than_it_did(tmp_path: Path) -> None:
    """Another process anchors between the commit of this one and its anchor: ``slow`` is late with what it knew."""
    witness = tmp_path / "keys" / "ledger.witness"
    slow = LedgerChain(tmp_path / "ledger.sqlite", witness, lambda: datetime.now(UTC), KEYS)
    with slow.writing() as database:
        slow.append(database, key(1), "train", SPEND, ["a"], "")
    witnessed(tmp_path).charge(key(2), [train("a")])
    slow.anchor()
    for place in (tmp_path / "ledger.anchor", tmp_path / "keys" / "ledger.witness"):
        assert json.loads(place.read_text())["entries"] == 2
    (tmp_path / "ledger.anchor").write_text(json.dumps({"entries": 0, "hash": "0" * 64}))
    slow.anchor()
    assert json.loads((tmp_path / "ledger.anchor").read_text())["entries"] == 1
    assert len(witnessed(tmp_path).entries) == 2


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


KEYS = LedgerKeys(bytes(range(32)), bytes(range(32, 64)))


def witnessed(folder: Path, *, adopt: bool = False) -> Ledger:
    """A ledger as a site has it: with a witness, and sealed."""
    return Ledger(folder / "ledger.sqlite", witness=folder / "keys" / "ledger.witness", keys=KEYS, adopt=adopt)


def test_a_ledger_that_is_gone_is_never_made_anew(tmp_path: Path) -> None:
    witnessed(tmp_path).charge(key(1), [train("a")])
    for lost in (("ledger.sqlite", "ledger.anchor"), ("ledger.anchor",), ("ledger.sqlite",)):
        home = tmp_path / f"without-{len(lost)}-{lost[0]}"
        shutil.copytree(tmp_path / "keys", home / "keys")
        for name in {"ledger.sqlite", "ledger.anchor"} - set(lost):
            shutil.copy(tmp_path / name, home / name)
        with pytest.raises(GaitkeeperError) as error:
            witnessed(home)
        assert error.value.code == "ledger-lost"
    assert witnessed(tmp_path).spent("a") == (SPEND,)


def test_an_older_ledger_with_its_anchor_from_a_backup_is_noticed(tmp_path: Path) -> None:
    witnessed(tmp_path).charge(key(1), [train("a")])
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in ("ledger.sqlite", "ledger.anchor"):
        shutil.copy(tmp_path / name, backup / name)
    witnessed(tmp_path).charge(key(2), [train("a")])
    for name in ("ledger.sqlite", "ledger.anchor"):
        shutil.copy(backup / name, tmp_path / name)
    with pytest.raises(GaitkeeperError) as error:
        witnessed(tmp_path)
    assert error.value.code == "ledger-rolled-back"


def test_another_ledger_in_its_place_is_noticed(tmp_path: Path) -> None:
    witnessed(tmp_path).charge(key(1), [train("a")])
    folder = tmp_path / "other"
    folder.mkdir()
    Ledger(folder / "ledger.sqlite", keys=KEYS).charge(key(1), [train("nobody")])
    for name in ("ledger.sqlite", "ledger.anchor"):
        shutil.copy(folder / name, tmp_path / name)
    with pytest.raises(GaitkeeperError, match="witness"):
        witnessed(tmp_path)


def test_killed_before_the_witness_was_written_a_new_ledger_can_still_be_opened(tmp_path: Path) -> None:
    witnessed(tmp_path)
    (tmp_path / "keys" / "ledger.witness").unlink()
    witnessed(tmp_path).charge(key(1), [train("a")])
    assert json.loads((tmp_path / "keys" / "ledger.witness").read_text())["entries"] == 1


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
