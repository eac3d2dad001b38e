"""A coordinator's backup, restored on another machine: the sites that knew the old one go on, over real servers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from trust_fixtures import FREE_PORTS, Consortium, new_site, refused, running

from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.consortium.studies import fetch_offers
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.backup import back_up, restore
from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.invitations import revoke
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import model_path, publish, released
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RunState, Wish
from gaitkeeper_server.services import start_services
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.archive import COORDINATOR_BACKUP, Member, folder_members, read_archive, write_archive
from gaitkeeper_shared.trust.audit import AuditLog

PASSPHRASE, CHEAP = "correct horse battery staple", 2**10


@dataclass(frozen=True)
class Saved:
    """A coordinator that stopped, its backup, and the sites that know it."""

    consortium: Consortium
    backup: Path
    north: SiteHome
    south: SiteHome
    west: SiteHome


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """North is a member, south was shut out, west enrols after the backup; two runs, one of them open."""
    folder = tmp_path_factory.mktemp("backup")
    with running(folder) as consortium:
        home = consortium.home
        north, south, west = consortium.site("north"), consortium.site("south"), new_site(folder / "west", "west")
        revoke(home, "south")
        study = consortium.signed_study()
        publish(home, 1, b"a model", study="walks", study_hash=study.hash)
        journal = Journal(journal_path(home))
        journal.request_run("open", study.data, ["north"])
        journal.request_run("over", study.data, ["north"])
        journal.set_run_state("over", RunState.STOPPED)
        invitation = consortium.invitation("west")
        (home.logs / "superlink.log").write_text("a log")
        (home.run / "coordinator.json").write_text("{}")
        # The services answer, and somebody holds the store open in the middle of a change.
        with sqlite3.connect(home.store, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE sites SET state = 'revoked' WHERE name = 'north'")
            back_up(home, folder / "first.backup", PASSPHRASE, scrypt_n=CHEAP)
            other.execute("ROLLBACK")
        other.close()
        enrol(west, invitation)
    return Saved(consortium, folder / "first.backup", north, south, west)


def test_sites_go_on_with_the_restored_coordinator(saved: Saved, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = CoordinatorHome(tmp_path / "elsewhere")
    done = restore(home, saved.backup, PASSPHRASE)
    assert [(site.name, site.state) for site in done.sites] == [
        ("north", "enrolled"),
        ("south", "revoked"),
        ("west", "invited"),
    ]
    old = saved.consortium.home
    for path in (*sorted(old.keys.iterdir()), old.config_file, model_path(old, 1)):
        assert (home.path / path.relative_to(old.path)).read_bytes() == path.read_bytes(), path
    assert {path.stat().st_mode & 0o777 for path in home.keys.iterdir()} == {0o600}
    assert (tmp_path.stat().st_mode & 0o777, home.path.stat().st_mode & 0o777) == (0o755, 0o700)
    assert released(home, 1).fits(b"a model")
    services = start_services(home)
    try:
        assert [offer.study.name for offer in fetch_offers(saved.north).offers] == ["walks"]
        with refused("site-refused"):
            fetch_offers(saved.south)
        # West enrolled after the backup was made. The letter that it used then does not work a second time.
        with refused("site-refused"):
            fetch_offers(saved.west)
        with refused("enrolment-token"):
            enrol(saved.west, saved.consortium.folder / "west.invitation", again=True)
        letter = Consortium(home, tmp_path).invitation("west")
        enrol(saved.west, letter, again=True)
        fetch_offers(saved.west)
    finally:
        services.stop(0.2)
    assert CoordinatorStore(home.store).site("south").state == "revoked"  # type: ignore[union-attr]


def test_open_runs_come_back_paused_and_the_audit_log_tells(saved: Saved, tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "elsewhere")
    assert restore(home, saved.backup, PASSPHRASE).paused == ("open",)
    journal = Journal(journal_path(home))
    assert {record.run: record.wish for record in journal.runs()} == {"open": Wish.PAUSE, "over": Wish.GO}
    log = AuditLog(home.audit_log)
    log.verify()
    assert [entry.event for entry in log.entries()][-1] == "coordinator-restored"
    events = [entry.event for entry in AuditLog(saved.consortium.home.audit_log).entries()]
    assert "backup-made" in events
    assert sorted(path.name for path in home.path.iterdir() if path.is_dir()) == ["keys", "logs", "releases", "run"]
    assert not [*home.logs.iterdir(), *home.run.iterdir()]


def test_nothing_is_made_of_what_is_not_a_whole_backup(saved: Saved, tmp_path: Path) -> None:
    data, place = saved.backup.read_bytes(), tmp_path / "changed"
    home = CoordinatorHome(tmp_path / "elsewhere")
    wrong = [bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]]) for at in (0, 60, 150, len(data) // 2, len(data) - 1)]
    for bad in (*wrong, data[:-1], data + b"x", b"", b"PK\x03\x04 a foreign file"):
        place.write_bytes(bad)
        with refused("backup-unusable"):
            restore(home, place, PASSPHRASE)
    for path, passphrase in ((saved.backup, "another horse, another battery"), (tmp_path / "missing", PASSPHRASE)):
        with refused("backup-unusable"):
            restore(home, path, passphrase)
    site = tmp_path / "site.backup"
    write_archive(site, [Member("site.toml", b"")], PASSPHRASE, scrypt_n=CHEAP)
    with pytest.raises(GaitkeeperError, match="it is a site's backup"):
        restore(home, site, PASSPHRASE)
    assert {path.name for path in tmp_path.iterdir()} == {"changed", "site.backup"}


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("keys/root.key", None, "restore-unsound"),
        ("keys/server.key", "keys/root.key", "restore-unsound"),
        ("audit.log", b"{}\n", "restore-unsound"),
        ("store.sqlite", b"no database", "restore-unsound"),
        ("journal.sqlite", b"SQLite format 3\0" + bytes(4096), "restore-unsound"),
        ("releases/1/model.safetensors", b"another model", "restore-unsound"),
        ("coordinator.toml", b"[coordinator]\n", "restore-unsound"),
        ("backup.json", b'{"schema": "gaitkeeper.coordinator-backup/2"}', "backup-unusable"),
    ],
)
def test_a_backup_whose_parts_do_not_fit_is_refused(
    saved: Saved, tmp_path: Path, name: str, data: bytes | str | None, code: str
) -> None:
    """Who has the passphrase can seal anything; what is inside is checked as a whole all the same."""
    members = {item.name: item.data for item in read_archive(saved.backup, PASSPHRASE, kind=COORDINATOR_BACKUP)}
    assert name in members
    replaced = members[data] if isinstance(data, str) else data
    changed = {**members, name: replaced}
    forged = [Member(key, value) for key, value in changed.items() if value is not None]
    write_archive(tmp_path / "forged", forged, PASSPHRASE, kind=COORDINATOR_BACKUP, scrypt_n=CHEAP)
    with refused(code):
        restore(CoordinatorHome(tmp_path / "elsewhere"), tmp_path / "forged", PASSPHRASE)
    assert [path.name for path in tmp_path.iterdir()] == ["forged"]


def test_a_home_and_a_backup_that_are_there_stay(saved: Saved, tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "other")
    create_coordinator(home, "other", ("127.0.0.1",), ports=FREE_PORTS)
    before = {item.name: item.data for item in folder_members(home.path, home.path)}
    with refused("coordinator-exists"):
        restore(home, saved.backup, PASSPHRASE)
    with refused("backup-exists"):
        back_up(home, saved.backup, PASSPHRASE, scrypt_n=CHEAP)
    with refused("passphrase-weak"):
        back_up(home, tmp_path / "weak", "too short", scrypt_n=CHEAP)
    shutil.copy(home.root_key, home.server_key)
    with refused("key-damaged"):  # a damaged coordinator replaces no better backup
        back_up(home, tmp_path / "damaged", PASSPHRASE, scrypt_n=CHEAP)
    shutil.copyfile(saved.consortium.home.server_key, home.server_key)
    home.server_key.write_bytes(before["keys/server.key"])
    assert {item.name: item.data for item in folder_members(home.path, home.path)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_the_commands(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSPHRASE + "\n")
    (tmp_path / "secret").chmod(0o600)

    def command(*arguments: str, variable: str = "GAITKEEPER_PASSPHRASE_FILE") -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "gaitkeeper_shared.cli", "coordinator", *arguments]
        environment = {**os.environ, variable: "secret"}
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment)

    made = command("backup", "new.backup", "--home", str(saved.consortium.home.path))
    assert (made.returncode, "read back and whole" in made.stdout) == (0, True), made.stderr
    assert (tmp_path / "new.backup").stat().st_mode & 0o777 == 0o600
    told = command("restore", "new.backup", "--home", "c", "--json", variable="GAITKEEPER_BACKUP_PASSPHRASE_FILE")
    row = json.loads(told.stdout)
    assert (row["enrolled"], row["revoked"], row["runs_paused"]) == (["north", "west"], ["south"], ["open"])
