"""A coordinator's three services: each has a place of its own, and sites are told where something else stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from trust_fixtures import FREE_PORTS, refused, running
from typer.testing import CliRunner

from gaitkeeper_server import doctor
from gaitkeeper_server.cli import app
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator, renew_server_certificate
from gaitkeeper_server.home import CoordinatorHome, host_and_port
from gaitkeeper_server.open_files import SUPERLINK_FILES
from gaitkeeper_shared.trust.certificates import load_certificate

ADDRESSES = {
    "enrolment": "enrol.gait.example.org:443",
    "site": "site.gait.example.org:443",
    "fleet": "[2001:db8::7]:443",
}


def names_in_certificate(home: CoordinatorHome) -> set[str]:
    from gaitkeeper_server.enrolment import setup

    return setup._names(load_certificate(home.server_certificate))


@pytest.mark.parametrize(
    ("ports", "bind"),
    [
        ({"enrolment": 8443, "site": 8443, "fleet": 8443, "control": 8443}, "127.0.0.1"),
        ({"enrolment": 8443, "site": 8444, "fleet": 8444}, "192.0.2.1"),
        ({"enrolment": 8443, "site": 8444, "fleet": 8445, "control": 8443}, "0.0.0.0"),
    ],
)
def test_two_services_at_one_place_are_refused_before_anything_is_made(
    tmp_path: Path, ports: dict[str, int], bind: str
) -> None:
    home = CoordinatorHome(tmp_path / "coordinator")
    with refused("ports-equal"):
        create_coordinator(home, "tri", ("127.0.0.1",), bind=bind, ports={"control": 8446, **ports})
    assert not home.path.exists()


def test_the_command_says_so(tmp_path: Path) -> None:
    same = [item for name in ("enrolment", "site") for item in (f"--{name}-port", "8443")]
    done = CliRunner().invoke(app, ["init", "--name", "tri", "--home", str(tmp_path / "home"), *same])
    assert getattr(done.exception, "code", "") == "ports-equal"
    assert not (tmp_path / "home").exists()
    told = ["--fleet-address", "rounds.gait.example.org:443"]
    done = CliRunner().invoke(app, ["init", "--name", "tri", "--home", str(tmp_path / "home"), *told])
    assert done.exit_code == 0, done.output
    assert "and rounds.gait.example.org:443." in done.output


def test_a_port_that_was_asked_for_is_nobody_elses_default(tmp_path: Path) -> None:
    other = CoordinatorHome(tmp_path / "other")
    config = create_coordinator(other, "tri", ("127.0.0.1",), ports={"fleet": 7440})
    assert config.fleet_port == 7440
    assert config.enrolment_port != 7440


def test_settings_that_were_made_equal_are_named_by_the_doctor(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "coordinator")
    config = create_coordinator(home, "tri", ("127.0.0.1",), ports=FREE_PORTS)
    text = home.config_file.read_text()
    home.config_file.write_text(text.replace(str(config.fleet_port), str(config.site_port)))
    with refused("ports-equal"):
        doctor.diagnose(home)
    home.config_file.write_text(
        text.replace('site_address = ""', 'site_address = "GAIT.example.org:443"').replace(
            'fleet_address = ""', 'fleet_address = "gait.example.org:443"'
        )
    )
    with refused("ports-equal"):
        home.config()
    for wrong in ("gait.example.org", ":443", "2001:db8::7:443", "gait:0", "gait:65536", "gait:٤٤٣"):
        home.config_file.write_text(text.replace('site_address = ""', f'site_address = "{wrong}"'))
        with refused("coordinator-config"):
            home.config()
    assert host_and_port("[2001:db8::7]:443") == ("2001:db8::7", 443)


def test_sites_are_told_the_addresses_and_the_certificate_has_their_names(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path / "coordinator")
    create_coordinator(home, "tri", ("gait.example.org",), bind="127.0.0.1", ports=FREE_PORTS, addresses=ADDRESSES)
    every = {"gait.example.org", "enrol.gait.example.org", "site.gait.example.org", "2001:db8::7"}
    assert names_in_certificate(home) == every
    assert invite(home, "north").address == ADDRESSES["enrolment"]
    assert not renew_server_certificate(home)
    text = home.config_file.read_text()
    home.config_file.write_text(text.replace("site.gait.", "members.gait."))
    assert renew_server_certificate(home)
    assert names_in_certificate(home) == (every - {"site.gait.example.org"}) | {"members.gait.example.org"}
    with refused("service-address"):
        create_coordinator(CoordinatorHome(tmp_path / "x"), "x", ("127.0.0.1",), addresses={"site": "no-port"})
    with refused("host-name"):
        create_coordinator(CoordinatorHome(tmp_path / "x"), "x", ("127.0.0.1",), addresses={"site": "-:1"})


def test_a_site_keeps_the_addresses_that_it_was_told(tmp_path: Path) -> None:
    from gaitkeeper_client.consortium.connection import CoordinatorConnection

    with running(tmp_path) as made:
        text = made.home.config_file.read_text()
        text = text.replace('fleet_address = ""', 'fleet_address = "rounds.gait.example.org:443"')
        made.home.config_file.write_text(text)
        assert CoordinatorConnection.load(made.site("north")).fleet_address == "rounds.gait.example.org:443"


def test_the_doctor_says_where_too_few_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = CoordinatorHome(tmp_path / "coordinator")
    create_coordinator(home, "tri", ("127.0.0.1",), ports=FREE_PORTS)
    found = {}
    for most in (1_024, SUPERLINK_FILES, None):
        monkeypatch.setattr("gaitkeeper_server.doctor.most_open_files", lambda _, most=most: most)
        (found[most],) = doctor._open_files(home)
    assert found[1_024].verdict == "warning"
    assert "LimitNOFILE" in found[1_024].remedy
    assert found[SUPERLINK_FILES].verdict == found[None].verdict == "well"
