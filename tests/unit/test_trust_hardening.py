"""What a hostile or unlucky surrounding must not be able to do to keys, folders, the audit log and a terminal."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import grpc
import pytest

from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import PASSPHRASE_FILE_VARIABLE, read_passphrase
from gaitkeeper_shared.durable import make_private_folder
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import ERROR_KEY, Endpoint, translated
from gaitkeeper_shared.trust.audit import AuditLog

HOSTILE = "approve\x1b[2K\x1b[1A it\u202e\r\nnow"


class _Answer(grpc.RpcError, grpc.Call):
    """What gRPC raises for a call that a server refused."""

    def __init__(self, details: str, trailing: tuple[tuple[str, bytes], ...] = ()) -> None:
        self._details, self._trailing = details, trailing

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._trailing


_Answer.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


@pytest.mark.parametrize("named", [True, False])
def test_a_coordinator_cannot_write_on_the_terminal(named: bool) -> None:
    row = json.dumps({"code": "release-unknown", "values": {"version": HOSTILE}}).encode()
    answer = _Answer(HOSTILE, ((ERROR_KEY, row),) if named else ())
    with pytest.raises(GaitkeeperError) as error, translated(Endpoint("127.0.0.1:1", b""), 1.0):
        raise answer
    assert error.value.code == ("release-unknown" if named else "rpc-failed")
    assert str(error.value).isprintable()
    assert "approve" in str(error.value)


def test_a_name_that_cannot_be_looked_up_is_no_wrong_certificate() -> None:
    """A firewall or a missing DNS entry is not somebody who stands between."""
    endpoint = Endpoint("no-such-machine.invalid:7440", b"")
    with grpc.secure_channel(endpoint.address, grpc.ssl_channel_credentials()) as channel:
        ask = channel.unary_unary("/any/Thing")
        with pytest.raises(GaitkeeperError) as error, translated(endpoint, 5.0):
            ask(b"", timeout=5.0)
    assert error.value.code in {"rpc-unreachable", "rpc-deadline"}  # the latter where no name server answers at all


def test_a_log_that_was_emptied_but_for_a_torn_line_is_broken(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    for _ in range(3):
        log.append("study-approved")
    log.path.write_bytes(b'{"sequence":1')
    with pytest.raises(GaitkeeperError) as error:
        log.append("study-withdrawn")
    assert error.value.code == "audit-broken"
    assert log.head().sequence == 3


def test_a_log_whose_very_first_line_was_torn_starts(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.path.write_bytes(b'{"sequence":1')
    log.append("enrolled")
    assert log.verify().sequence == 1


def test_a_private_folder_is_closed_even_where_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    outer = stat.S_IMODE(folder.parent.stat().st_mode)
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == outer


def test_a_new_private_folder_is_made_durable_in_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    make_private_folder(tmp_path / "a" / "b")
    assert set(synced) == {str(tmp_path), str(tmp_path / "a")}


def test_a_passphrase_from_systemd_is_read_and_the_same_mode_elsewhere_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for folder in (credentials, tmp_path):
        (folder / "passphrase").write_text("correct horse battery\n")
        (folder / "passphrase").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv(PASSPHRASE_FILE_VARIABLE, str(credentials / "passphrase"))
    assert read_passphrase("") == "correct horse battery"
    monkeypatch.setenv(PASSPHRASE_FILE_VARIABLE, str(tmp_path / "passphrase"))
    with pytest.raises(GaitkeeperError) as error:
        read_passphrase("")
    assert error.value.code == "site-key-permissions"
    (credentials / "passphrase").chmod(0o444)
    monkeypatch.setenv(PASSPHRASE_FILE_VARIABLE, str(credentials / "passphrase"))
    with pytest.raises(GaitkeeperError):
        read_passphrase("")


def test_a_site_starts_while_somebody_asks_whether_it_runs(tmp_path: Path) -> None:
    """A status command holds a shared lock for a moment; the start must not take it for another service."""
    import fcntl
    import threading

    from gaitkeeper_client.agent.supervisor import _only_one

    home = SiteHome(tmp_path / "site")
    create_home(home, "north", "file")
    make_private_folder(home.run)
    with (home.run / "site.lock").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        with _only_one(home):
            assert (home.run / "site.lock").read_text().strip() == str(os.getpid())
