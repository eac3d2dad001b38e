"""Roles of a coordinator's people: each role at each command, told by the operating system, noted in the audit log."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import typer.main
from typer.testing import CliRunner

from gaitkeeper_server.cli import app
from gaitkeeper_server.doctor import _roles as examine_roles
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.persons import acting
from gaitkeeper_server.persons.roles import NEEDED, Role, enter, grant, withdraw
from gaitkeeper_server.store import CoordinatorStore, Grant
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditEntry, AuditLog

ANNA, BEN, SERVICE = "daemon", "nobody", "mail"
"""Users that every Unix has, in the parts of two people and of the service."""
_MAKES_ITS_OWN_FOLDER = {"init", "restore", "study new"}


def uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CoordinatorHome:
    """A coordinator of the service's user; whoever comes next does so by sudo as that user."""
    place = CoordinatorHome(tmp_path / "home")
    create_coordinator(place, "tri", ("127.0.0.1",))
    monkeypatch.delenv("SUDO_UID", raising=False)
    if os.geteuid() == 0:
        os.chown(place.path, uid(SERVICE), -1)
        monkeypatch.setattr("gaitkeeper_server.persons.acting.os.geteuid", lambda: uid(SERVICE))
    return place


@pytest.fixture
def come(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Let somebody give the next commands by sudo; None: the service's user itself."""

    def arrive(name: str | None) -> None:
        if name is None:
            monkeypatch.delenv("SUDO_UID", raising=False)
        else:
            monkeypatch.setenv("SUDO_UID", str(uid(name)))

    return arrive


Come = Callable[[str | None], None]


def last(home: CoordinatorHome) -> AuditEntry:
    return list(AuditLog(home.audit_log).entries())[-1]


def refused_for(home: CoordinatorHome, command: str) -> bool:
    try:
        enter(home, command, "it")
    except GaitkeeperError as error:
        if (error.code, error.exit_status) != ("role-needed", 3) or NEEDED[command] not in error.message:
            raise
        return True
    return False


@pytest.mark.parametrize("role", list(Role))
def test_each_role_at_each_command(home: CoordinatorHome, come: Come, role: Role) -> None:
    grant(home, ANNA, role)
    come(ANNA)
    for command, needed in NEEDED.items():
        allowed = role is Role.OWNER or needed in (role, Role.VIEWER)
        assert refused_for(home, command) is not allowed, command
        entry = last(home)
        if not allowed:
            assert (entry.event, entry.facts["by"], entry.facts["command"]) == ("person-refused", ANNA, command)
        elif needed is not Role.VIEWER:
            assert (entry.event, entry.facts["by"], entry.facts["subject"]) == ("command-given", ANNA, "it")


def test_nobody_without_a_role_comes_in_and_the_owner_always_does(home: CoordinatorHome, come: Come) -> None:
    grant(home, ANNA, Role.VIEWER)
    come(BEN)
    assert all(refused_for(home, command) for command in NEEDED)
    come(None)
    assert not any(refused_for(home, command) for command in NEEDED)


def test_without_roles_all_is_as_the_folder_allows_and_the_log_names_who_it_was(
    home: CoordinatorHome, come: Come
) -> None:
    come(ANNA)
    assert not any(refused_for(home, command) for command in NEEDED)
    enter(home, "revoke", "north")
    assert dict(last(home).facts) == {"command": "revoke", "subject": "north", "by": ANNA, "role": "operator"}
    assert next(iter(examine_roles(home))).detail.startswith("none given")


def test_roles_add_up_and_the_last_one_withdrawn_leaves_nobody_in(home: CoordinatorHome, come: Come) -> None:
    for role in (Role.OPERATOR, Role.RELEASE_MANAGER):
        grant(home, ANNA, role)
    come(ANNA)
    assert not refused_for(home, "invite")
    assert not refused_for(home, "promote")
    assert withdraw(home, ANNA, Role.OPERATOR) == ("operator",)
    assert refused_for(home, "invite")
    assert not refused_for(home, "promote")
    assert withdraw(home, ANNA) == ("release-manager",)
    assert refused_for(home, "sites")
    with pytest.raises(GaitkeeperError) as error:
        withdraw(home, ANNA)
    assert error.value.code == "role-not-held"


def test_a_number_or_a_name_that_somebody_else_has_now_lets_nobody_in(home: CoordinatorHome, come: Come) -> None:
    store = CoordinatorStore(home.store)
    for person, number in ((ANNA, uid(BEN)), ("gone-long-ago", uid(ANNA))):
        store.grant(Grant(person, number, Role.OWNER, "2026-01-01T00:00:00Z", None))
    come(ANNA)
    assert refused_for(home, "sites")
    findings = list(examine_roles(home))
    assert [item.verdict for item in findings] == ["warning", "warning", "well"]
    assert "0 owner" in findings[-1].detail


@pytest.mark.parametrize("number", ["", "-1", "0x10", "9" * 30, "\u0661"])
def test_a_number_that_sudo_would_not_give_is_refused(
    home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setenv("SUDO_UID", number)
    with pytest.raises(GaitkeeperError) as error:
        enter(home, "sites")
    assert error.value.code == "user-unknown"


def test_a_folder_that_somebody_made_up_is_not_entered_for_him(
    home: CoordinatorHome, come: Come, tmp_path: Path
) -> None:
    """Its links lead to the right one, its roles are his own: it would open what his role does not."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("coordinator.toml", "keys", "audit.log"):
        (trap / name).symlink_to(home.path / name)
    come(BEN)
    if os.geteuid() == 0 or trap.stat().st_uid != os.geteuid():
        with pytest.raises(GaitkeeperError) as error:
            enter(CoordinatorHome(trap), "backup")
        assert error.value.code == "home-not-safe"
    trap.chmod(0o777)
    for folder in (home.path, home.path.parent):
        before = folder.stat().st_mode & 0o7777
        folder.chmod(0o777)
        with pytest.raises(GaitkeeperError) as error:
            enter(home, "sites")
        assert error.value.code == "home-not-safe"
        folder.chmod(before)
    link = tmp_path / "link"
    link.symlink_to(home.path)
    enter(CoordinatorHome(link), "sites")  # it leads to a safe one


def test_root_is_the_owner_also_by_sudo(home: CoordinatorHome, come: Come, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(home, ANNA, Role.VIEWER)
    monkeypatch.setattr(acting.os, "geteuid", lambda: 0)
    come(ANNA)
    enter(home, "backup", "it")
    assert last(home).facts["by"] == f"{ANNA} as root"


@pytest.mark.parametrize("command", ["invite", "stop", "revoke", "pause"])
def test_what_stops_harm_is_done_also_where_the_log_is_damaged(home: CoordinatorHome, command: str) -> None:
    home.audit_log.write_bytes(b"{}\n")
    if command == "invite":
        with pytest.raises(GaitkeeperError) as error:
            enter(home, command)
        assert error.value.code == "audit-broken"
        return
    unlogged = enter(home, command).unlogged
    assert unlogged is not None
    assert unlogged.code == "audit-broken"


# The commands themselves


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]


def test_every_command_is_in_the_table() -> None:
    assert set(COMMANDS) - _MAKES_ITS_OWN_FOLDER == set(NEEDED)


@pytest.mark.parametrize("command", sorted(NEEDED))
def test_every_command_asks_at_the_door(home: CoordinatorHome, come: Come, command: str, tmp_path: Path) -> None:
    grant(home, ANNA, Role.VIEWER)
    come(BEN)
    fitting = {"version": "1", "role": "viewer", "user": ANNA}
    wanted = [one for one in COMMANDS[command].params if isinstance(one, click.Argument) and one.required]
    arguments = [fitting.get(one.name or "", "thing") for one in wanted]
    if command == "rehearse":
        arguments += ["--cohort", "cohort.csv"]
    if command == "revoke":
        arguments.append("--yes")
    before = sorted(path for path in home.path.rglob("*") if "audit" not in path.name)
    result = CliRunner().invoke(app, [*command.split(), *arguments, "--home", str(home.path)])
    assert isinstance(result.exception, GaitkeeperError), result.output
    assert (result.exception.code, result.exception.values["command"]) == ("role-needed", command)
    assert sorted(path for path in home.path.rglob("*") if "audit" not in path.name) == before


def test_roles_are_given_taken_and_listed_by_command(home: CoordinatorHome, come: Come) -> None:
    def told(*words: str) -> str:
        result = CliRunner().invoke(app, ["role", *words, "--home", str(home.path)], catch_exceptions=False)
        return result.output

    assert "may do everything" in told("list")
    assert f"(uid {uid(ANNA)}) is operator" in told("grant", ANNA, "operator")
    assert last(home).facts["role"] == "operator"
    come(ANNA)
    assert f"{ANNA} " in told("list")
    assert '"set_up": true' in told("list", "--json")
    for words, code in (
        (("grant", ANNA, "owner"), "role-needed"),
        (("withdraw", ANNA), "role-needed"),
        (("grant", ANNA, "king"), "role-unknown"),
    ):
        result = CliRunner().invoke(app, ["role", *words, "--home", str(home.path)])
        assert isinstance(result.exception, GaitkeeperError)
        assert result.exception.code == code
    come(None)
    result = CliRunner().invoke(app, ["role", "grant", "no-such-user-here", "viewer", "--home", str(home.path)])
    assert isinstance(result.exception, GaitkeeperError)
    assert result.exception.code == "user-unknown"
    assert "no longer operator" in told("withdraw", ANNA)
    assert "Every role was withdrawn" in told("list")
