"""A backup of a whole coordinator in one encrypted file, and a coordinator made anew from it, on any machine.

The root lives on in it: sites that pinned it go on without enrolling again. In it are the keys and certificates, the
settings, the store, the journal, releases, the coordinator's own model registry and the audit log; neither logs nor the
state of what is running. It may be made while the service runs: each database is copied by SQLite's online backup, in
an order in which none refers to what a later one does not have yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import model_path, released
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Wish
from gaitkeeper_server.store import CoordinatorStore, SiteRecord
from gaitkeeper_server.store_file import BUSY_S
from gaitkeeper_shared.durable import leave_tree_to_owner, make_private_folder, sync_folder
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.archive import (
    COORDINATOR_BACKUP,
    Member,
    audit_members,
    folder_members,
    read_back,
    unpack,
    write_archive,
)
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.certificates import fingerprint, load_certificate
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.keys import load_private_key
from gaitkeeper_shared.trust.passphrase import SCRYPT_N

_LETTER = "backup.json"
_LETTER_SCHEMA = "gaitkeeper.coordinator-backup/1"
_REGISTRY = "mlflow"
_REGISTRY_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database holds absolute addresses of files in the home."""


@dataclass(frozen=True, slots=True)
class CoordinatorBackup:
    """A backup that was made and read back. ``size`` in bytes."""

    path: Path
    backup_id: str
    size: int


@dataclass(frozen=True, slots=True)
class RestoredCoordinator:
    """A coordinator that was restored. ``made_at``: of its backup; ``paused``: runs that were open then."""

    name: str
    made_at: str
    root_sha256: str
    sites: tuple[SiteRecord, ...]
    paused: tuple[str, ...]


def back_up(
    home: CoordinatorHome, path: Path, passphrase: str, *, clock: Clock = utc_now, scrypt_n: int = SCRYPT_N
) -> CoordinatorBackup:
    """Check the coordinator, write a backup of it and read that back; the service may run meanwhile.

    Raises ``passphrase-weak``, ``backup-exists``, ``disk-full``, ``backup-unusable``, or what is wrong with the
    coordinator (``coordinator-*``, ``key-*``, ``certificate-unusable``, ``store-failed``, ``journal-*``,
    ``audit-broken``): one that is damaged would replace a better backup in somebody's rotation. No file is left then.
    """
    config = home.config()
    _check_trust(home)
    AuditLog(home.audit_log).verify()
    letter = {"schema": _LETTER_SCHEMA, "name": config.name, "home": str(home.path), "made_at": iso(clock())}
    backup_id = write_archive(path, _members(home, letter), passphrase, kind=COORDINATOR_BACKUP, scrypt_n=scrypt_n)
    read_back(path, passphrase, kind=COORDINATOR_BACKUP)
    AuditLog(home.audit_log, clock=clock).append("backup-made", file=path.name, backup=backup_id)
    return CoordinatorBackup(path, backup_id, path.stat().st_size)


def restore(home: CoordinatorHome, backup: Path, passphrase: str, *, clock: Clock = utc_now) -> RestoredCoordinator:
    """Make the coordinator of a backup at ``home``, where nothing may be yet.

    Its open runs are paused, and its unused invitations end: what became of either after the backup, nobody knows here.
    Raises ``coordinator-exists``, ``backup-unusable``, ``restore-unsound`` or ``disk-full``; then nothing is left at
    ``home``.
    """
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise GaitkeeperError("coordinator-exists", path=home.path)
    draft = CoordinatorHome(home.path.with_name(f".{home.path.name}.{secrets.token_hex(4)}.restoring"))
    try:
        home.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # one that is there stays as open as it is
        unpack(backup, passphrase, draft.path, kind=COORDINATOR_BACKUP)
        for folder in draft.folders:
            make_private_folder(folder)
        restored = _settle(draft, home, backup, clock)
        leave_tree_to_owner(draft.path, home.path if home.path.exists() else None)
        with contextlib.suppress(FileNotFoundError):
            home.path.rmdir()
        os.rename(draft.path, home.path)  # noqa: PTH104 - a folder that came in between must not be replaced
        sync_folder(home.path.parent)
    except OSError as error:
        raise GaitkeeperError("file-not-writable", path=home.path, detail=error.strerror) from error
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)
    return restored


def _members(home: CoordinatorHome, letter: dict[str, str]) -> Iterator[Member]:
    yield Member(_LETTER, json.dumps(letter).encode("ascii"))
    yield Member(home.config_file.name, home.config_file.read_bytes())
    yield from folder_members(home.path, home.keys)
    # The journal first: the sites that its runs name and the models that it calls registered are in what follows.
    journal = journal_path(home)
    if journal.exists():
        yield Member(journal.name, _image(journal, "journal-damaged"))
    yield Member(home.store.name, _image(home.store, "store-failed"))
    registry = home.path / _REGISTRY
    for path in sorted(registry.glob("*.sqlite")):
        yield Member(path.relative_to(home.path).as_posix(), _image(path, "store-failed"))
    yield from folder_members(home.path, registry, without=lambda path: ".sqlite" in path.name)
    yield from folder_members(home.path, home.releases)
    yield from audit_members(home.audit_log)


def _image(path: Path, code: str) -> bytes:
    """A consistent copy of a database that others may be writing into; checked, and without a log beside it."""
    try:
        if not path.exists():
            raise sqlite3.DatabaseError("it is missing")
        with (
            contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as source,
            contextlib.closing(sqlite3.connect(":memory:")) as copy,
        ):
            source.backup(copy, progress=_patience(path))
            _check_database(copy)
            return copy.serialize()
    except sqlite3.Error as error:
        raise GaitkeeperError(code, path=path, detail=error) from error


def _patience(path: Path) -> Callable[[int, int, int], None]:
    """For SQLite's online backup, which by itself waits for ever while somebody is writing."""
    deadline = time.monotonic() + BUSY_S

    def waited(status: int, _left: int, _of: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise GaitkeeperError("store-failed", path=path, detail=f"others wrote into it for {BUSY_S:.0f} s")

    return waited


def _check_database(database: sqlite3.Connection) -> None:
    found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))


def _check_trust(home: CoordinatorHome) -> None:
    """The keys are there, open, and fit their certificates. Raises ``key-*`` or ``certificate-unusable``."""
    home.signer()
    root, server = load_certificate(home.root_certificate), load_certificate(home.server_certificate)
    for path, certificate in ((home.root_key, root), (home.server_key, server)):
        key = load_private_key(path)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise GaitkeeperError("key-damaged", path=path, detail="it does not fit its certificate")


def _settle(draft: CoordinatorHome, home: CoordinatorHome, backup: Path, clock: Clock) -> RestoredCoordinator:
    """Check everything that was unpacked, and make it fit its new place."""
    letter = _letter(draft, backup)
    try:
        config = draft.config()
        _check_trust(draft)
        AuditLog(draft.audit_log).verify()
        for path in (draft.store, *draft.path.glob("journal.sqlite"), *(draft.path / _REGISTRY).glob("*.sqlite")):
            _image(path, "store-failed")
        _check_releases(draft)
        relocate_registry(draft.path / _REGISTRY, Path(letter["home"]), home.path)
        paused = _pause(journal_path(draft))
        store = CoordinatorStore(draft.store)
        store.end_invitations()  # one that was used after the backup would work a second time
        sites = store.sites()
    except GaitkeeperError as error:
        if error.code == "disk-full":
            raise
        raise GaitkeeperError("restore-unsound", detail=error.message) from error
    AuditLog(draft.audit_log, clock=clock).append(
        "coordinator-restored", backup=backup.name, made_at=letter["made_at"], runs_paused=len(paused)
    )
    root = fingerprint(load_certificate(draft.root_certificate))
    return RestoredCoordinator(config.name, letter["made_at"], root, sites, paused)


def _letter(draft: CoordinatorHome, backup: Path) -> dict[str, str]:
    """What the backup says of itself; it is no part of the home."""
    path = draft.path / _LETTER
    try:
        row = json.loads(path.read_bytes())
        if row["schema"] != _LETTER_SCHEMA:
            raise ValueError("another version made it")
        letter = {name: str(row[name]) for name in ("name", "home", "made_at")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GaitkeeperError("backup-unusable", path=backup, detail=f"it does not say what it is ({error})") from error
    path.unlink()
    return letter


def _check_releases(home: CoordinatorHome) -> None:
    """Every release is signed by this consortium, and its model is the one that was signed."""
    for version in CoordinatorStore(home.store).release_versions():
        path = model_path(home, version)
        if not path.is_file() or not released(home, version).fits(path.read_bytes()):
            detail = "its model is missing or another one"
            raise GaitkeeperError("release-damaged", version=version, path=path, detail=detail)


def relocate_registry(registry: Path, old: Path, new: Path) -> None:
    """Lead the addresses of files in the database in ``registry``, which are absolute, from the home ``old`` to
    ``new``. Raises ``store-failed``."""
    before, after = ((place / _REGISTRY).as_uri() for place in (old, new))
    if before == after:
        return
    for path in registry.glob("*.sqlite"):
        try:
            with contextlib.closing(sqlite3.connect(path)) as database, database:
                database.execute("PRAGMA synchronous = FULL")
                for table, column in _REGISTRY_PLACES:
                    _replace_beginning(database, table, column, before + "/", after + "/")
        except sqlite3.Error as error:
            raise GaitkeeperError("store-failed", path=path, detail=error) from error


def _replace_beginning(database: sqlite3.Connection, table: str, column: str, before: str, after: str) -> None:
    """``table`` and ``column`` are of our own list; a version of MLflow that lacks them has nothing to replace."""
    if database.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone():
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
            (after, len(before) + 1, len(before), before),
        )


def _pause(path: Path) -> tuple[str, ...]:
    """Pause what was open: the old machine may have gone on with it after the backup, so that a person decides."""
    if not path.exists():
        return ()
    journal = Journal(path)
    runs = [record.run for record in journal.runs() if not record.state.terminal]
    for run in runs:
        journal.set_wish(run, Wish.PAUSE)
    return tuple(runs)
