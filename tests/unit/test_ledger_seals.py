"""The ledger's seals: who has the files and not the site's key can write no other story into them, nor read updates."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gaitkeeper_client.vault.ledger import Charge, Ledger, LedgerKeys, RoundKey, StoredReply
from gaitkeeper_client.vault.ledger_chain import _hash
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.accounting import Budget, Spend

OURS = LedgerKeys(b"o" * 32, b"u" * 32)
STUDY = "s" * 64
CHARGE = Charge("train", ("p-one", "p-two"), Spend(1000.0, 0.5, 1), Budget(8.0, 1e-3))
REPLY = StoredReply(b"an update without its mask", b"a momentum")


def opened(folder: Path, keys: LedgerKeys | None = OURS, *, adopt: bool = False) -> Ledger:
    return Ledger(folder / "ledger.sqlite", witness=folder / "keys" / "ledger.witness", keys=keys, adopt=adopt)


def place(number: int) -> RoundKey:
    return RoundKey(STUDY, "run", number)


def filled(folder: Path, keys: LedgerKeys | None = OURS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    ledger = opened(folder, keys)
    for number in (1, 2):
        ledger.charge(place(number), [CHARGE])
        ledger.store_reply(place(number), REPLY)
    return folder


def rewritten(folder: Path, change: Callable[[list[object]], None], *, seals: str = "kept") -> None:
    """What somebody with the files does: change an entry, and make every hash and anchor after it anew."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        rows = [list(row) for row in database.execute("SELECT * FROM entries ORDER BY seq")]
        change(rows[0])
        previous = "0" * 64
        for row in rows:
            row[-2] = previous
            row[-1] = previous = _hash(row[:-1])
            database.execute("UPDATE entries SET patients = ?, previous = ?, hash = ? WHERE seq = ?", (
                row[9], row[-2], row[-1], row[0],
            ))  # fmt: skip
            if seals == "guessed":
                database.execute("UPDATE seals SET seal = ? WHERE seq = ?", (OURS.seal_of(previous)[::-1], row[0]))
        if seals == "removed":
            database.execute("DELETE FROM seals")
        for anchor in (folder / "ledger.anchor", folder / "keys" / "ledger.witness"):
            anchor.write_text(json.dumps({"entries": len(rows), "hash": previous}))


def nobody_was_there(row: list[object]) -> None:
    row[9] = "[]"


@pytest.mark.parametrize(
    ("seals", "code"), [("kept", "ledger-damaged"), ("guessed", "ledger-damaged"), ("removed", "ledger-unsealed")]
)
def test_a_history_made_anew_without_the_key_is_refused(tmp_path: Path, seals: str, code: str) -> None:
    rewritten(filled(tmp_path), nobody_was_there, seals=seals)
    assert opened(tmp_path, None).spent("p-one") == (CHARGE.spend,)  # hashes alone believe it
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path)
    assert error.value.code == code


def test_an_entry_that_somebody_else_added_and_a_ledger_of_another_site_are_refused(tmp_path: Path) -> None:
    filled(tmp_path / "theirs", LedgerKeys(b"t" * 32, b"t" * 32))
    with pytest.raises(GaitkeeperError, match="entry 1 does not carry"):
        opened(tmp_path / "theirs")
    filled(tmp_path / "ours")
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path / "ours", None).charge(place(3), [CHARGE])
    assert error.value.code == "ledger-key-missing"
    with closing(sqlite3.connect(tmp_path / "ours" / "ledger.sqlite")) as database, database:
        database.execute("DELETE FROM seals WHERE seq = 4")
    with pytest.raises(GaitkeeperError, match="entry 4 does not carry"):
        opened(tmp_path / "ours")


def test_without_the_key_what_was_spent_is_read_and_updates_are_not(tmp_path: Path) -> None:
    filled(tmp_path)
    assert opened(tmp_path).reply(place(2)) == REPLY
    assert opened(tmp_path).state_before(place(3)) == REPLY.state
    for content in (REPLY.body, REPLY.state):
        assert all(content not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    reader = opened(tmp_path, None)
    assert not reader.seals_checked
    assert reader.patients() == ("p-one", "p-two")
    with pytest.raises(GaitkeeperError) as error:
        reader.reply(place(2))
    assert error.value.code == "ledger-key-missing"
    reader.forget_replies(STUDY)  # erasure and a withdrawn approval need no key
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path).reply(place(2))
    assert error.value.code == "reply-gone"


def test_a_kept_reply_opens_only_where_it_was_put(tmp_path: Path) -> None:
    ledger = opened(filled(tmp_path))
    for number, run in ((1, "other"), (2, "other")):
        ledger.charge(RoundKey(STUDY, run, number), [CHARGE])
    ledger.store_reply(RoundKey(STUDY, "other", 2), StoredReply(b"another", b""))
    with closing(sqlite3.connect(ledger.path)) as database, database:
        body, state = database.execute("SELECT body, state FROM replies WHERE run = 'run'").fetchone()
        database.execute("UPDATE replies SET body = ?, state = ? WHERE run = 'other'", (body, state))
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path).reply(RoundKey(STUDY, "other", 2))
    assert error.value.code == "ledger-damaged"


def test_a_rotation_seals_replies_anew_and_a_killed_one_costs_a_round_at_most(tmp_path: Path) -> None:
    fresh = LedgerKeys(OURS.entries, b"f" * 32)  # the identity secret stays, the site's key does not
    shutil.copytree(filled(tmp_path / "done"), tmp_path / "killed")
    opened(tmp_path / "done").reseal_replies(fresh)
    assert opened(tmp_path / "done", fresh).reply(place(2)) == REPLY
    for folder, keys in (("done", OURS), ("killed", fresh)):
        with pytest.raises(GaitkeeperError) as error:
            opened(tmp_path / folder, keys).reply(place(2))
        assert error.value.code == "reply-gone"
        assert opened(tmp_path / folder, keys).state_before(place(3)) == b""


def test_a_ledger_of_before_the_seals_is_refused_until_it_is_sealed_on_purpose(tmp_path: Path) -> None:
    filled(tmp_path, None)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database, database:
        database.execute("DROP TABLE seals")  # as that version left it
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path)
    assert error.value.code == "ledger-unsealed"
    before = opened(tmp_path, None).entries
    adopted = opened(tmp_path, adopt=True)
    assert (adopted.adopted, adopted.entries) == (4, before)
    assert adopted.reply(place(2)) == REPLY
    assert REPLY.body not in (tmp_path / "ledger.sqlite").read_bytes()
    again = opened(tmp_path, adopt=True)
    assert again.adopted == 0
    again.charge(place(3), [CHARGE])
    assert len(opened(tmp_path).entries) == 5
    rewritten(tmp_path, nobody_was_there)
    with pytest.raises(GaitkeeperError):
        opened(tmp_path, adopt=True)  # what is sealed already is never sealed anew


def test_a_broken_ledger_is_not_adopted(tmp_path: Path) -> None:
    filled(tmp_path, None)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database, database:
        database.execute("UPDATE entries SET patients = '[]' WHERE seq = 1")
    with pytest.raises(GaitkeeperError) as error:
        opened(tmp_path, adopt=True)
    assert error.value.code == "ledger-damaged"
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM seals").fetchone() == (0,)
