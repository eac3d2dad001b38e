"""Documents about a patient are kept, erased, backed up, rotated, verified and expired like recordings."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from vault_fixtures import everything, facts_of, make_recording, make_site, someone

from gaitkeeper_client.agent.restore import restore
from gaitkeeper_client.vault.backup import make_backup
from gaitkeeper_client.vault.documents import document_bytes, find_document, heads_of, put_document
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome, write_table
from gaitkeeper_client.vault.keys import SiteKey, unlock
from gaitkeeper_client.vault.records import DocumentHead
from gaitkeeper_client.vault.retention import apply_retention, retention_policy
from gaitkeeper_client.vault.rotation import rotate_key
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError

WORDS = b"knee flexion in swing, left, 18 degrees below the norm"
OLD, NEW = "2020-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def site(tmp_path: Path) -> tuple[SiteHome, SiteKey]:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        for number in range(2):
            pseudonym = vault.add(someone(f"patient-{number}"), make_recording(number), facts_of(number)).pseudonym
            put_document(vault, pseudonym, DocumentHead(f"r-{number}", "report", NEW, OLD), WORDS + bytes([number]))
        put_document(vault, pseudonym, DocumentHead("r-1/statement/1", "statement", NEW, "", "r-1"), WORDS)
    return home, key


def test_a_document_comes_back_and_nothing_of_it_can_be_read_on_the_disk(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        assert document_bytes(vault, "r-1") == WORDS + b"\x01"
        found = find_document(vault, "r-1/statement/1")
        assert found is not None
        assert (found[0], found[1].subject) == (vault.named("patient-1").pseudonym, "r-1")
        assert find_document(vault, "r-9") is None
        assert vault.verify() == ()
        with pytest.raises(GaitkeeperError, match="already") as caught:
            put_document(vault, found[0], DocumentHead("r-1", "report", NEW), b"another")
        assert caught.value.code == "document-exists"
    on_disk = everything(home)
    assert WORDS not in on_disk
    assert b"r-1/statement" not in on_disk


def test_erasing_a_patient_erases_their_documents_and_nobody_elses(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        assert erase(home, vault, "patient-1").documents == 2
        assert find_document(vault, "r-1") is None
        assert document_bytes(vault, "r-0") == WORDS + b"\x00"
        assert len(list((home.vault / "recordings").iterdir())) == 2
        assert vault.verify() == ()


def test_rotation_backup_and_restore_keep_documents_under_their_names(
    site: tuple[SiteHome, SiteKey], tmp_path: Path
) -> None:
    home, key = site
    sealed = everything(home)
    with Vault.open(home, key) as vault:
        old = [vault.path_of(row.id).read_bytes() for row in vault.index.documents()]
    rotate_key(home, key, None)
    assert all(one in sealed and one not in everything(home) for one in old)
    make_backup(home, unlock(home), tmp_path / "backup", PASSPHRASE, scrypt_n=2**10)
    other = SiteHome(tmp_path / "other")
    restore(other, tmp_path / "backup", PASSPHRASE, unlock)
    with Vault.open(other, unlock(other)) as vault:
        assert vault.verify() == ()
        assert [head.name for head in heads_of(vault, vault.named("patient-1").pseudonym)] == ["r-1", "r-1/statement/1"]
        assert document_bytes(vault, "r-1") == WORDS + b"\x01"


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_damage_to_a_document_is_named_and_unknown_files_go(site: tuple[SiteHome, SiteKey], damage: str) -> None:
    home, key = site
    (home.vault / "recordings" / ("0" * 32 + ".sealed")).write_bytes(b"left over of a kill")
    with Vault.open(home, key) as vault:
        row = vault.index.documents()[0]
        path = vault.path_of(row.id)
        if damage == "flip":
            data = bytearray(path.read_bytes())
            data[40] ^= 1
            path.write_bytes(bytes(data))
        else:
            path.unlink()
        assert [item.what for item in vault.verify()] == [f"document {row.id}"]


def test_a_report_goes_with_the_recordings_unless_the_site_gives_it_its_own_time(
    site: tuple[SiteHome, SiteKey],
) -> None:
    home, key = site
    now = datetime(2026, 2, 1, tzinfo=UTC)
    with Vault.open(home, key) as vault:
        write_table(home, "retention", {"days": 365, "report_days": 3650})
        assert apply_retention(home, vault, retention_policy(home), now=now).recordings == ()
        write_table(home, "retention", {"days": 365})
        removed = apply_retention(home, vault, retention_policy(home), now=now)
        assert sorted(item.kind for item in removed.recordings) == ["document"] * 3  # a statement goes with its report
        assert removed.patients == ()
        assert vault.index.documents() == []
        assert len(vault.index.recordings()) == 2
        write_table(home, "retention", {"report_days": 0})
        with pytest.raises(GaitkeeperError, match="report_days"):
            retention_policy(home)


def test_a_vault_of_the_second_format_goes_on(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        pseudonym = vault.add(someone(), make_recording(1), facts_of(1)).pseudonym
    with sqlite3.connect(home.vault / "index.sqlite") as database:  # as the second format had it
        database.execute("DROP TABLE documents")
        database.execute("UPDATE meta SET value = ? WHERE name = 'format'", (b"2",))
    database.close()
    (home.vault / "index.seal").unlink()
    with Vault.open(home, key) as vault:
        put_document(vault, pseudonym, DocumentHead("r-1", "report", NEW), WORDS)
        assert document_bytes(vault, "r-1") == WORDS
        assert vault.verify() == ()
