"""What root does in a folder of a service's user must leave nothing that this user cannot read and write."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaitkeeper_shared.doctor import check_owner
from gaitkeeper_shared.durable import leave_tree_to_owner, make_private_folder, prepare_file, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.single import hold
from gaitkeeper_shared.trust.audit import AuditLog

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
SERVICE = 65_533


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    os.chown(folder, SERVICE, SERVICE)
    yield folder
    assert {path.lstat().st_uid for path in folder.rglob("*")} <= {SERVICE}


def test_files_folders_and_databases_are_the_service_users(home: Path) -> None:
    write_durably(home / "new", b"1")
    write_durably(home / "new", b"2")
    write_durably(make_private_folder(home / "a" / "b") / "deep", b"3")
    prepare_file(home / "database")
    with sqlite3.connect(home / "database") as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (x)")
        assert len(list(home.glob("database*"))) > 1
    (home / "library" / "files").mkdir(parents=True)
    (home / "library" / "files" / "one").touch()
    leave_tree_to_owner(home / "library")


def test_nothing_outside_is_given_away(tmp_path: Path, home: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "elsewhere" / "other").touch()
    library = home / "library"
    library.mkdir()
    (library / "link").symlink_to(tmp_path / "secret")
    (library / "folder").symlink_to(tmp_path / "elsewhere")
    os.link(tmp_path / "secret", library / "second-name")
    leave_tree_to_owner(library)
    outside = (tmp_path / "secret", tmp_path / "elsewhere", tmp_path / "elsewhere" / "other")
    assert {path.stat().st_uid for path in outside} == {0}
    (library / "second-name").unlink()


def test_the_audit_log_can_be_continued_by_its_owner(home: Path) -> None:
    log = AuditLog(home / "audit.log")
    log.append("first")
    for path in home.iterdir():
        assert path.stat().st_uid == SERVICE
    log.append("second")  # replaces the anchor
    assert log.verify().sequence == 2


def test_a_file_for_others_stays_roots(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, SERVICE, SERVICE)
    shared.chmod(0o755)
    write_durably(shared / "backup", b"keys")
    assert (shared / "backup").stat().st_uid == 0


def test_root_runs_no_service_on_it(home: Path) -> None:
    with pytest.raises(GaitkeeperError) as error, hold(home / "run" / "lock", home, "coordinator-running"):
        pass
    assert error.value.code == "home-of-another"
    assert error.value.exit_status == 3
    assert not (home / "run").exists()


def test_the_doctor_names_what_is_somebody_elses(home: Path) -> None:
    assert [finding.verdict for finding in check_owner(home)] == ["well"]
    (home / "deep").mkdir()
    (home / "deep" / "roots").touch()
    (finding,) = check_owner(home)
    assert finding.verdict == "ill"
    assert "roots" in finding.detail
    subprocess.run(finding.remedy.split(), check=True)
    assert [finding.verdict for finding in check_owner(home)] == ["well"]
