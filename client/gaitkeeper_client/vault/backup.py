"""A backup of a whole site in one encrypted file, and its unpacking beside the place where a site is to be.

What goes in is consistent: the vault under its writers' lock, the ledger under its own. Keys go in too, so that one
file and its passphrase make the site anew; who has both has the site.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SCRYPT_N, SiteKey
from gaitkeeper_client.vault.ledger import WITNESS
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.durable import is_temporary
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.archive import Member, audit_members, folder_members, read_back, write_archive

if TYPE_CHECKING:
    from sqlite3 import Connection

LEDGER_FILES = ("ledger.sqlite", "ledger.anchor")
_LOCK_S = 30.0


@dataclass(frozen=True, slots=True)
class BackupMade:
    """``recordings`` and ``ledger_entries`` that are in it; ``size`` in bytes."""

    path: Path
    backup_id: str
    recordings: int
    size: int


def make_backup(home: SiteHome, key: SiteKey, path: Path, passphrase: str, *, scrypt_n: int = SCRYPT_N) -> BackupMade:
    """Write a backup and read it back. Raises ``backup-exists``, ``passphrase-weak``, ``vault-unsound``, ``disk-full``.

    A vault that is damaged is not backed up: the backup would replace a better one in somebody's rotation.
    """
    with Vault.open(home, key) as vault:
        if found := vault.verify():
            raise GaitkeeperError("vault-unsound", count=len(found))
        with vault.locked(wait=True):
            count = len(vault.index.recordings())
            backup_id = write_archive(path, _members(home, vault), passphrase, scrypt_n=scrypt_n)
    read_back(path, passphrase)
    record(home, "backup-made", file=path.name, backup=backup_id)
    return BackupMade(path, backup_id, count, path.stat().st_size)


def _members(home: SiteHome, vault: Vault) -> Iterator[Member]:
    taken_apart = (home.ledger.stem, home.audit_log.name)  # each is written while we read: see below
    for path in sorted(home.path.iterdir()):
        plain = path.is_file() and not path.is_symlink() and not is_temporary(path.name)
        if plain and path.suffix != ".lock" and not path.name.startswith(taken_apart):
            yield Member(path.name, path.read_bytes())
    for folder in (home.keys, home.studies, home.releases):
        yield from folder_members(
            home.path, folder, without=lambda path: path == home.keys / WITNESS or path.name.endswith(".next")
        )
    yield Member("vault/index.sqlite", vault.index.image())
    yield Member(f"vault/{vault.seal.path.name}", vault.seal.path.read_bytes())
    for file_id in vault.index.file_ids():
        sealed = vault.path_of(file_id)
        yield Member(sealed.relative_to(home.path).as_posix(), sealed.read_bytes())
    yield from _ledger(home)
    yield from audit_members(home.audit_log)


def _ledger(home: SiteHome) -> Iterator[Member]:
    """The ledger with its anchors, while nobody can write into it."""
    if not home.ledger.exists():
        return
    with contextlib.closing(sqlite3.connect(home.ledger, timeout=_LOCK_S, isolation_level=None)) as database:
        yield Member(home.ledger.name, _image(database, home.ledger))
        for path in (home.ledger.with_name("ledger.anchor"), home.keys / WITNESS):
            if path.exists():
                yield Member(path.relative_to(home.path).as_posix(), path.read_bytes())
        database.execute("ROLLBACK")


def _image(database: Connection, path: Path) -> bytes:
    try:
        database.execute("BEGIN IMMEDIATE")
        return database.serialize()
    except sqlite3.DatabaseError as error:
        raise GaitkeeperError("ledger-damaged", path=path, detail=error) from error
