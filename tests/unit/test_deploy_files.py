"""Units, sudoers and container files fit the program that they start, and give away no more than they say."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from test_docs_commands import commands, parse

from gaitkeeper_client.vault.home import HOME_VARIABLE as SITE_VARIABLE
from gaitkeeper_server.home import HOME_VARIABLE as COORDINATOR_VARIABLE
from gaitkeeper_server.persons.roles import NEEDED, Role

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSED = sorted((DEPLOY / "containers").glob("*.yaml"))
PROGRAM = "/opt/gaitkeeper/bin/gaitkeeper"


def settings(unit: Path) -> dict[str, str]:
    lines = (line for line in unit.read_text("utf-8").splitlines() if not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_in_the_folder_that_it_may_write(unit: Path) -> None:
    found = settings(unit)
    program, group, *rest = found["ExecStart"].split()
    assert program == PROGRAM
    parse(commands()[group], rest, group)
    variable = {"site": SITE_VARIABLE, "coordinator": COORDINATOR_VARIABLE}[group]
    assert found["Environment"] == f"{variable}=/var/lib/{found['StateDirectory']}/{group}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_shut_in_as_the_others_are(unit: Path) -> None:
    found = settings(unit)
    assert (found["User"], found["ProtectSystem"], found["CapabilityBoundingSet"]) == ("gaitkeeper", "strict", "")
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert found[name] == "true", name
    assert found["SystemCallFilter"] == "@system-service"
    assert "RemoveIPC" not in found  # one service's end would take the other's: they have the same user
    # PyTorch's kernels are compiled while it runs.
    assert ("MemoryDenyWriteExecute" in found) == (unit.stem == "gaitkeeper-coordinator")


def allowed(command: str) -> bool:
    """Whether the sudoers file lets the group give this command line; its ``*`` stands for anything, spaces too."""
    text = (DEPLOY / "sudoers/gaitkeeper-coordinator").read_text("utf-8")
    patterns = re.findall(rf"^ +({PROGRAM} .+?)(?:, \\)?$", text, re.MULTILINE)
    return any(fnmatchcase(f"{PROGRAM} coordinator {command}", pattern) for pattern in patterns)


@pytest.mark.parametrize("command", [*NEEDED, "init", "restore"])
def test_people_may_give_what_some_role_may_and_no_owners_command(command: str) -> None:
    owners = NEEDED.get(command, Role.OWNER) is Role.OWNER
    assert allowed(f"{command} thing --home /var/lib/gaitkeeper/coordinator") is not owners


@pytest.mark.parametrize("composed", COMPOSED, ids=lambda path: path.stem)
def test_containers_have_no_rights_and_start_commands_that_there_are(composed: Path) -> None:
    services: dict[str, dict[str, Any]] = yaml.safe_load(composed.read_text("utf-8"))["services"]
    assert services
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "10001:10001"
        assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(service)
        checked = service.get("healthcheck", {}).get("test", ["CMD", "gaitkeeper", *service["command"]])
        assert checked[:2] == ["CMD", "gaitkeeper"]
        for group, *rest in (service["command"], checked[2:]):
            parse(commands()[group], rest, group)


def test_images_end_as_a_user_without_rights_and_take_packages_from_the_folder_alone() -> None:
    text = (DEPLOY / "containers/Containerfile").read_text("utf-8")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    ends = {stage.split()[2]: stage for stage in stages if "\nCMD " in stage}
    assert set(ends) == {"site", "coordinator"}
    for stage in ends.values():
        assert re.findall(r"^USER (.+)$", stage, re.MULTILINE) == ["10001:10001"]
    installs = [line for line in text.splitlines() if "pip install" in line and not line.startswith("#")]
    assert len(installs) == 2
    assert all("--no-index" in line for line in installs)
    assert not re.search(
        r"^(ADD|COPY (?!--from=))", text, re.MULTILINE
    )  # nothing of the build's folder stays in a layer
