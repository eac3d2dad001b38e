"""Rotation, backup, restore, the seal: a kill loses nothing, a changed byte is found, no spending is forgotten."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vault_fixtures import everything, facts_of, kill_at, lines_of, make_recording, make_site, someone

from gaitkeeper_client.agent.restore import restore
from gaitkeeper_client.vault.backup import make_backup
from gaitkeeper_client.vault.check import check_records
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import SiteKey, create_key, current_key, unlock
from gaitkeeper_client.vault.ledger import Charge, RoundKey, StoredReply, open_ledger
from gaitkeeper_client.vault.rotation import change_passphrase, rotate_key
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.recording import encode_recording
from gaitkeeper_shared.study import parse_study, study_hash
from gaitkeeper_shared.trust.archive import Member, read_archive, write_archive
from gaitkeeper_shared.trust.audit import AuditLog

PASSPHRASE, OTHER = "correct horse battery staple", "another horse, another battery"
CHEAP = 2**10
STUDY = b"""
name = "backup-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["knee_flexion_left"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 4
[training]
rounds = 3
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, SiteKey]:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        for number in range(3):
            vault.add(someone(f"patient-{number % 2}"), make_recording(number), facts_of(number))
    AuditLog(home.audit_log).append("site-made", site="clinic-test")
    return home, key


def content(home: SiteHome, key: SiteKey) -> list[tuple[str, str, list[bytes]]]:
    with Vault.open(home, key) as vault:
        return [
            (p.pseudonym, p.patient_id, [encode_recording(item) for item in vault.recordings(p.pseudonym)])
            for p in vault.patients()
        ]


def charge(home: SiteHome, number: int) -> None:
    prices = plan(parse_study(STUDY))
    assert prices.train is not None
    charges = [Charge("train", ("p-1", "p-2"), prices.train, prices.train_budget)]
    open_ledger(home, unlock(home)).charge(RoundKey(study_hash(STUDY), "run", number), charges)


# -- rotation


def test_a_rotation_changes_every_key_and_nothing_else(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    before, bytes_before = content(home, key), everything(home)
    held_out, secrets = key.identify("training/held-out"), []
    with Vault.open(home, key) as vault:
        secrets = [row.wrapped_key for row, _ in vault.index.patients()]
        secrets += [vault.path_of(row.id).read_bytes() for row in vault.index.recordings()]
    fresh = rotate_key(home, key, None)
    assert unlock(home) == fresh
    assert content(home, fresh) == before
    assert fresh.identify("training/held-out") == held_out
    assert all(secret in bytes_before for secret in secrets)
    assert not [secret for secret in secrets if secret in everything(home)]
    with pytest.raises(GaitkeeperError) as caught:
        Vault.open(home, key)
    assert caught.value.code == "vault-wrong-key"
    with Vault.open(home, fresh) as vault:
        assert vault.verify() == ()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.65, 0.8, 0.88, 0.92, 0.96, 0.99])
def test_killed_at_any_line_a_rotation_leaves_one_key_in_force(site: tuple[SiteHome, SiteKey], share: float) -> None:
    home, key = site
    before = content(home, key)
    kill_at(home, "rotate", int(share * lines_of(home, "rotate")))
    found = unlock(home)
    assert content(home, found) == before
    with Vault.open(home, found) as vault:
        assert vault.verify() == ()
    again = rotate_key(home, found, None)
    assert content(home, unlock(home)) == before
    assert again not in (key, found)
    assert len(list((home.vault / "recordings").iterdir())) == 3


def test_the_passphrase_comes_changes_and_goes(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    change_passphrase(home, key, PASSPHRASE, scrypt_n=CHEAP)
    assert not home.key_file.exists()
    assert home.config().key_mode == "passphrase"
    assert current_key(home, PASSPHRASE) == key
    change_passphrase(home, key, OTHER, scrypt_n=CHEAP)
    with pytest.raises(GaitkeeperError) as caught:
        current_key(home, PASSPHRASE)
    assert caught.value.code == "passphrase-wrong"
    assert rotate_key(home, key, OTHER, scrypt_n=CHEAP) == current_key(home, OTHER)
    change_passphrase(home, current_key(home, OTHER), None)
    assert not home.sealed_key_file.exists()
    assert len(content(home, unlock(home))) == 2
    with pytest.raises(GaitkeeperError) as caught:
        change_passphrase(home, unlock(home), "short")
    assert caught.value.code == "passphrase-weak"


def test_a_site_of_the_first_format_goes_on(tmp_path: Path) -> None:
    import sqlite3

    home = SiteHome(tmp_path / "old")
    create_key(home)
    key = SiteKey(bytes(range(32)))
    home.key_file.write_text(f"gaitkeeper-site-key/1 {key.secret.hex()}\n")
    create_home(home, "clinic-old", "file")
    assert unlock(home) == key
    with Vault.open(home, key) as vault:
        vault.add(someone(), make_recording(1), facts_of(1))
    with sqlite3.connect(home.vault / "index.sqlite") as database:  # as the first format had it: random pseudonyms
        database.execute("DROP TABLE erased")
        database.execute("DROP TABLE documents")
        database.execute("UPDATE meta SET value = ? WHERE name = 'format'", (b"1",))
    database.close()
    (home.vault / "index.seal").unlink()
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()
        erase(home, vault, "patient-1")
    assert content(home, rotate_key(home, key, None)) == []
    assert unlock(home).identity == key.secret


# -- the seal


def test_verify_finds_any_flipped_byte(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    files = [path for path in home.vault.rglob("*") if path.is_file() and path.name != "lock"]
    assert {path.name for path in files} >= {"index.sqlite", "index.seal"}
    files.append(home.key_file)

    @given(file=st.sampled_from(files), place=st.integers(0, 10**9), bit=st.integers(0, 7))
    @settings(max_examples=120, deadline=None)
    def flip(file: Path, place: int, bit: int) -> None:
        whole = file.read_bytes()
        changed = bytearray(whole)
        changed[place % len(whole)] ^= 1 << bit
        file.write_bytes(changed)
        try:
            with Vault.open(home, unlock(home)) as vault:
                assert vault.verify(), f"{file.name}, byte {place % len(whole)}"
        except GaitkeeperError:
            pass
        finally:
            file.write_bytes(whole)
            for left in home.vault.glob("index.sqlite-*"):
                left.unlink()

    flip()
    with Vault.open(home, key) as vault:
        assert vault.verify() == ()


def test_a_flipped_byte_beside_the_vault_is_found_and_never_a_traceback(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    for number in (1, 2, 3):
        charge(home, number)
    audit_anchor = home.audit_log.with_name("audit.log.anchor")
    chains = [home.audit_log, audit_anchor, home.ledger.with_name("ledger.anchor"), home.keys / "ledger.witness"]
    kept = {path: path.read_bytes() for path in (*chains, home.ledger)}
    generator = random.Random(4)
    for path, whole in kept.items():
        for _ in range(25):
            changed, place = bytearray(whole), generator.randrange(len(whole))
            changed[place] ^= 1 << generator.randrange(8)
            path.write_bytes(changed)
            # Of the ledger's database an unused byte may change; of the chains none.
            assert check_records(home, key) or path == home.ledger, (path.name, place)
            for other, data in kept.items():
                other.write_bytes(data)
    assert check_records(home, key) == ()


def test_a_patient_taken_out_by_hand_is_noticed_and_not_sealed_as_ours(site: tuple[SiteHome, SiteKey]) -> None:
    import sqlite3

    home, key = site
    with sqlite3.connect(home.vault / "index.sqlite") as database:
        ids = [row[0] for row in database.execute("SELECT id FROM recordings WHERE number = 2")]
        database.execute("DELETE FROM recordings WHERE number = 2")
        database.execute("DELETE FROM patients WHERE number = 2")
    database.close()
    (home.vault / "recordings" / f"{ids[0]}.sealed").unlink()
    with Vault.open(home, key) as vault:
        assert [item.what for item in vault.verify()] == ["index"]
        with pytest.raises(GaitkeeperError) as caught:
            vault.add(someone("patient-9"), make_recording(9), facts_of(9))
        assert caught.value.code == "vault-damaged"


def test_an_erased_patients_updates_leave_the_ledger_and_the_charges_stay(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    prices, ledger = plan(parse_study(STUDY)), open_ledger(home, key)
    assert prices.train is not None
    with Vault.open(home, key) as vault:
        gone, stays = vault.named("patient-1").pseudonym, vault.named("patient-0").pseudonym
        for study, patient in (("a" * 64, gone), ("b" * 64, stays)):
            place = RoundKey(study, "run", 1)
            ledger.charge(place, [Charge("train", (patient,), prices.train, prices.train_budget)])
            ledger.store_reply(place, StoredReply(f"update of {patient}".encode(), b""))
        erase(home, vault, "patient-1")
    ledger = open_ledger(home, key)
    kept = ledger.reply(RoundKey("b" * 64, "run", 1))
    assert kept is not None
    assert kept.body == f"update of {stays}".encode()
    with pytest.raises(GaitkeeperError) as caught:
        ledger.reply(RoundKey("a" * 64, "run", 1))
    assert caught.value.code == "reply-gone"
    assert ledger.spent(gone) == (prices.train,)


# -- backup and restore


def test_a_backup_makes_the_same_site_elsewhere(site: tuple[SiteHome, SiteKey], tmp_path: Path) -> None:
    home, key = site
    charge(home, 1)
    (home.path / "of-another-part.json").write_text("{}")
    (home.path / "some.lock").write_text("")
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    assert made.recordings == 3
    data = made.path.read_bytes()
    assert all(secret not in data for secret in (key.secret.hex().encode(), b"clinic-test", b"index.sqlite"))
    elsewhere = SiteHome(tmp_path / "new" / "site")
    done = restore(elsewhere, made.path, PASSPHRASE, unlock)
    assert (done.site, done.patients, done.recordings) == ("clinic-test", 2, 3)
    assert content(elsewhere, unlock(elsewhere)) == content(home, key)
    assert open_ledger(elsewhere).entries[:1] == open_ledger(home).entries
    assert (elsewhere.path / "of-another-part.json").read_text() == "{}"
    assert not (elsewhere.path / "some.lock").exists()
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in elsewhere.folders)
    assert AuditLog(elsewhere.audit_log).verify().sequence >= 2
    with pytest.raises(GaitkeeperError) as caught:
        restore(elsewhere, made.path, PASSPHRASE, unlock)
    assert caught.value.code == "site-exists"
    with pytest.raises(GaitkeeperError) as caught:
        make_backup(home, key, made.path, PASSPHRASE, scrypt_n=CHEAP)
    assert caught.value.code == "backup-exists"


def test_a_restored_ledger_counts_what_it_cannot_know_as_spent(site: tuple[SiteHome, SiteKey], tmp_path: Path) -> None:
    home, key = site
    charge(home, 1)
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    charge(home, 2)  # of which the backup knows nothing
    spent = open_ledger(home).study_epsilon(study_hash(STUDY), 1e-3)
    elsewhere = SiteHome(tmp_path / "new")
    study = {study_hash(STUDY): parse_study(STUDY)}
    assert restore(elsewhere, made.path, PASSPHRASE, unlock, further=study).closed == ("backup-test",)
    ledger = open_ledger(elsewhere)
    assert ledger.study_epsilon(study_hash(STUDY), 1e-3) >= spent
    with Vault.open(elsewhere, unlock(elsewhere)) as vault:
        assert all(ledger.spent(patient.pseudonym) for patient in vault.patients())
    with pytest.raises(GaitkeeperError) as caught:
        charge(elsewhere, 3)
    assert caught.value.code == "budget-spent"
    with pytest.raises(GaitkeeperError) as caught:  # charged before, so no budget would stop a second training
        ledger.reply(RoundKey(study_hash(STUDY), "run", 1))
    assert caught.value.code == "reply-gone"


def test_the_newest_ledger_is_taken_as_it_is_and_no_other(site: tuple[SiteHome, SiteKey], tmp_path: Path) -> None:
    home, key = site
    charge(home, 1)
    made = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    older = tmp_path / "older"
    older.mkdir()
    charge(home, 2)
    stranger, _ = make_site(tmp_path / "stranger")
    charge(stranger, 1)
    for folder in (older, stranger.path):
        with pytest.raises(GaitkeeperError) as caught:
            restore(SiteHome(tmp_path / "new"), made.path, PASSPHRASE, unlock, ledger_from=folder)
        assert caught.value.code == "restore-ledger-older"
        assert not (tmp_path / "new").exists()
    done = restore(SiteHome(tmp_path / "new"), made.path, PASSPHRASE, unlock, ledger_from=home.path)
    assert done.closed == ()
    entries = open_ledger(SiteHome(tmp_path / "new")).entries
    assert entries[:2] == open_ledger(home).entries
    assert [(entry.kind, entry.key.round) for entry in entries[2:]] == [("closed", 1), ("closed", 2)]
    charge(SiteHome(tmp_path / "new"), 3)


def test_a_damaged_backup_restores_nothing(site: tuple[SiteHome, SiteKey], tmp_path: Path) -> None:
    home, key = site
    path = make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP).path
    whole, target = path.read_bytes(), SiteHome(tmp_path / "new")

    def refused(data: bytes, passphrase: str = PASSPHRASE) -> str:
        path.write_bytes(data)
        with pytest.raises(GaitkeeperError) as caught:
            restore(target, path, passphrase, unlock)
        assert list(tmp_path.glob(".new*")) == []
        assert not target.path.exists()
        return caught.value.code

    for place in range(0, len(whole), max(1, len(whole) // 40)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        assert refused(bytes(changed)) == "backup-unusable", place
    for data in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"x", b"PK\x03\x04" * 100):
        assert refused(data) == "backup-unusable"
    assert refused(whole, OTHER) == "backup-unusable"
    path.write_bytes(whole)
    assert restore(target, path, PASSPHRASE, unlock).recordings == 3


def test_a_damaged_vault_is_not_backed_up(site: tuple[SiteHome, SiteKey], tmp_path: Path) -> None:
    home, key = site
    next((home.vault / "recordings").iterdir()).write_bytes(b"damaged")
    with pytest.raises(GaitkeeperError) as caught:
        make_backup(home, key, tmp_path / "site.backup", PASSPHRASE, scrypt_n=CHEAP)
    assert caught.value.code == "vault-unsound"
    assert list(tmp_path.glob("*.backup")) == []


@given(
    files=st.lists(st.binary(max_size=5_000) | st.just(bytes(3_000_000)), max_size=3),
)
@settings(max_examples=10, deadline=None)
def test_an_archive_gives_back_what_went_in(files: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("archive")
    members = [Member(f"folder/{number}", data) for number, data in enumerate(files)]
    write_archive(folder / "a", members, PASSPHRASE, scrypt_n=CHEAP)
    assert list(read_archive(folder / "a", PASSPHRASE)) == members
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../b"])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    write_archive(tmp_path / "a", [Member(name, b"x")], PASSPHRASE, scrypt_n=CHEAP)
    with pytest.raises(GaitkeeperError) as caught:
        list(read_archive(tmp_path / "a", PASSPHRASE))
    assert caught.value.code == "backup-unusable"
