"""The coordinator's service and its gate: what is let in, what is tried again and when, what a start refuses."""

from __future__ import annotations

import logging
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
from flwr.proto.node_pb2 import Node
from tests.unit.rounds_fixtures import STUDY, weights

from gaitkeeper_server import daemon
from gaitkeeper_server.daemon import CoordinatorService, journal_path
from gaitkeeper_server.enrolment.setup import create_coordinator, renew_server_certificate
from gaitkeeper_server.enrolment.studies import signed_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import released
from gaitkeeper_server.rounds.gate import EnrolledKeys, is_own_reply
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import RunState
from gaitkeeper_server.rounds.superlink import Membership
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import ChildSpec
from gaitkeeper_shared.trust.certificates import check_issued, load_certificate
from gaitkeeper_shared.trust.clock import utc_now

FREE = dict.fromkeys(("enrolment", "site", "fleet", "control"), 0)


@pytest.fixture
def home(tmp_path: Path) -> CoordinatorHome:
    made = CoordinatorHome(tmp_path / "coordinator")
    create_coordinator(made, "test", ("127.0.0.1",), ports=FREE)
    return made


def push(node: int = 7, source: int = 7, target: int = 1, reply_to: str = "asked", messages: int = 1) -> bytes:
    metadata = Metadata(src_node_id=source, dst_node_id=target, reply_to_message_id=reply_to)
    return PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=[Message(metadata=metadata)] * messages,
        message_object_trees=[ObjectTree()] * messages,
    ).SerializeToString()


def test_a_node_may_push_its_own_reply_and_nothing_else() -> None:
    assert is_own_reply(push())
    assert not is_own_reply(push(source=1, target=9, reply_to=""))  # an order in the coordinator's name
    assert not is_own_reply(push(source=9))  # another site's reply
    assert not is_own_reply(push(target=9))
    assert not is_own_reply(push(reply_to=""))
    assert not is_own_reply(push(messages=0))
    assert not is_own_reply(push(messages=2))
    assert not is_own_reply(b"\xff\xff")


def test_nobody_gets_in_once_the_list_of_sites_was_away_for_long(caplog: pytest.LogCaptureFixture) -> None:
    keys = EnrolledKeys()
    keys.replace({"north": b"key"})
    now = 0.0

    def away() -> dict[str, bytes]:
        raise OSError("the disk is gone")

    membership = Membership(None, keys, away, lambda: now)  # type: ignore[arg-type]  # never reached
    with caplog.at_level(logging.WARNING):
        now = 5.0
        membership.refresh()
        assert keys.site_of(b"key") == "north"
        now = 11.0
        membership.refresh()
        assert keys.site_of(b"key") is None
    assert [record for record in caplog.records if "the disk is gone" in record.message]


def test_a_run_that_cannot_be_published_is_tried_ever_more_rarely(
    home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(journal_path(home))
    for run in ("broken", "fine"):
        journal.request_run(run, STUDY, ["north"], weights())
        journal.set_run_state(run, RunState.STOPPED)
    said: list[str] = []
    service = CoordinatorService(home, said.append)
    started: list[str] = []

    def fail(run: str) -> None:
        started.append(run)
        # Any module that ends at once stands for a registry that fails.
        service._children.add(ChildSpec("registry", "this", {}, home.logs / "registry.log", restart=False))

    monkeypatch.setattr(service, "_start_registry", fail)
    moment = time.monotonic()
    skipped = 0.0
    monkeypatch.setattr(daemon.time, "monotonic", lambda: time.perf_counter() + moment - start + skipped)
    start = time.perf_counter()
    while len(started) < 2 and time.perf_counter() - start < 20:
        service._tick()
        time.sleep(0.02)
    for _ in range(30):
        service._tick()
        time.sleep(0.02)
    assert sorted(started) == ["broken", "fine"]
    for _ in range(40):
        skipped += 60.0
        for _ in range(25):
            service._tick()
            time.sleep(0.002)
    service._children.stop()
    assert 3 <= started.count("broken") <= 9
    assert any("could not be registered" in line for line in said)


def test_a_taken_port_of_flower_is_told_before_anything_starts(
    home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_PORT_WITHIN_S", 0.3)
    service = CoordinatorService(home, print)
    service._check_ports()
    for port in (home.config().fleet_port, home.config().control_port):
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            with pytest.raises(GaitkeeperError) as error:
                service._check_ports()
            assert error.value.code == "port-taken"
            assert str(port) in error.value.message
    service._check_ports()


def test_a_full_disk_does_not_end_the_service_over_its_status(
    home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise GaitkeeperError("disk-full", path="x", detail="no space left")

    service = CoordinatorService(home, print)
    with monkeypatch.context() as patched:
        patched.setattr(daemon, "write_durably", full)
        service._write_status()
    status = home.run / "coordinator.json"
    assert not status.exists()
    service._tick()
    assert status.exists()


def test_the_server_certificate_is_renewed_in_time_and_for_new_hosts(home: CoordinatorHome) -> None:
    before = load_certificate(home.server_certificate)
    assert not renew_server_certificate(home)
    text = home.config_file.read_text().replace('"127.0.0.1",\n', '"127.0.0.1",\n    "gait.example.org",\n', 1)
    assert "gait.example.org" in text
    home.config_file.write_text(text)
    assert renew_server_certificate(home)
    assert not renew_server_certificate(home)
    fresh = load_certificate(home.server_certificate)
    check_issued(fresh, load_certificate(home.root_certificate), what="it")
    assert fresh.public_key() == before.public_key()
    late = fresh.not_valid_after_utc - timedelta(days=200)
    assert renew_server_certificate(home, clock=lambda: late)
    assert load_certificate(home.server_certificate).not_valid_after_utc > utc_now() + timedelta(days=1000)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("threshold = 2", "threshold must be from 1 to 1"),
        ('threshold = "1"', "threshold must be from 1 to 1"),
        ('consortium_keys = ["zz"]', "key 1"),
        ('consortium_keys = ["00"]', "key 1"),
    ],
)
def test_settings_of_the_consortium_are_checked_when_read(home: CoordinatorHome, line: str, words: str) -> None:
    name = line.split(" ")[0]
    kept = [item for item in home.config_file.read_text().splitlines() if not item.startswith(name)]
    home.config_file.write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(GaitkeeperError) as error:
        home.config()
    assert error.value.code == "coordinator-config"
    assert words in error.value.message


def test_names_and_numbers_beyond_all_bounds_are_only_unknown(home: CoordinatorHome) -> None:
    with pytest.raises(GaitkeeperError) as error:
        signed_study(home, "x" * 5000)
    assert error.value.code == "study-not-signed"
    with pytest.raises(GaitkeeperError) as error:
        released(home, 10**20)
    assert error.value.code == "release-unknown"
