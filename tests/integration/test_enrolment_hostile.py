"""The coordinator's ports against callers who mean harm, and its own mishaps told in plain words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from trust_fixtures import Consortium, new_site, running

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.consortium.studies import fetch_offers
from gaitkeeper_server.enrolment.identity import Doorkeeper
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.services import start_services
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint, call
from gaitkeeper_shared.rpc.gaitkeeper.v1 import (
    enrolment_pb2,
    enrolment_pb2_grpc,
    releases_pb2,
    releases_pb2_grpc,
    studies_pb2,
    studies_pb2_grpc,
)
from gaitkeeper_shared.trust.certificates import new_request
from gaitkeeper_shared.trust.keys import new_node_key, new_tls_key, node_public_pem


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with running(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="module")
def member(consortium: Consortium) -> Endpoint:
    home = consortium.site("member")
    return CoordinatorConnection.load(home).endpoint(home)


def anonymous(consortium: Consortium) -> Endpoint:
    config = consortium.home.config()
    return Endpoint(config.address(config.enrolment_port), consortium.home.root_certificate.read_bytes())


def code_of(endpoint: Endpoint, stub: type, method: str, request: object) -> str:
    """The code that the call is refused with."""
    with endpoint.channel() as channel, pytest.raises(GaitkeeperError) as error:
        call(getattr(stub(channel), method), request, endpoint)
    assert "Traceback" not in error.value.message
    return error.value.code


REQUEST, NODE = new_request(new_tls_key(), "x"), node_public_pem(new_node_key().public_key())


@pytest.mark.parametrize(
    ("request_bytes", "node", "expected"),
    [
        (b"", NODE, "certificate-unusable"),
        (b"\x00\xff" * 100, NODE, "certificate-unusable"),
        (REQUEST, b"", "key-damaged"),
        (REQUEST, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "key-damaged"),
        (REQUEST.replace(b"A", b"B"), NODE, "certificate-unusable"),
    ],
)
def test_broken_keys_do_not_use_an_invitation_up(
    consortium: Consortium, request_bytes: bytes, node: bytes, expected: str
) -> None:
    token = invite(consortium.home, "clumsy").token
    message = enrolment_pb2.EnrolRequest(token=token, certificate_request=request_bytes, node_public_key=node)
    assert code_of(anonymous(consortium), enrolment_pb2_grpc.EnrolmentStub, "Enrol", message) == expected
    good = enrolment_pb2.EnrolRequest(token=token, certificate_request=REQUEST, node_public_key=NODE)
    endpoint = anonymous(consortium)
    with endpoint.channel() as channel:
        assert call(enrolment_pb2_grpc.EnrolmentStub(channel).Enrol, good, endpoint).site == "clumsy"


@pytest.mark.parametrize("token", ["", "guess", "x" * 100_000, "ü\x00"])
def test_a_guessed_token_is_nothing(consortium: Consortium, token: str) -> None:
    message = enrolment_pb2.EnrolRequest(token=token, certificate_request=REQUEST, node_public_key=NODE)
    assert code_of(anonymous(consortium), enrolment_pb2_grpc.EnrolmentStub, "Enrol", message) == "enrolment-token"


def test_an_oversized_message_is_not_taken(consortium: Consortium) -> None:
    message = enrolment_pb2.EnrolRequest(token="x", certificate_request=b"x" * 5_000_000)
    assert code_of(anonymous(consortium), enrolment_pb2_grpc.EnrolmentStub, "Enrol", message) == "rpc-failed"


def test_the_enrolment_port_serves_nothing_else(consortium: Consortium) -> None:
    endpoint = anonymous(consortium)
    for stub, method, message in (
        (studies_pb2_grpc.StudiesStub, "ListStudies", studies_pb2.ListStudiesRequest()),
        (releases_pb2_grpc.ReleasesStub, "CurrentOrder", releases_pb2.CurrentOrderRequest()),
        (enrolment_pb2_grpc.MembershipStub, "Renew", enrolment_pb2.RenewRequest(certificate_request=REQUEST)),
    ):
        assert code_of(endpoint, stub, method, message) == "rpc-failed"


def test_a_member_sees_nothing_that_was_not_meant_for_it(consortium: Consortium, member: Endpoint) -> None:
    stub = releases_pb2_grpc.ReleasesStub
    for version in (1, 2**64 - 1):
        assert code_of(member, stub, "Manifest", releases_pb2.ManifestRequest(version=version)) == "release-unknown"
    for sequence, state in ((1, 2), (2**64 - 1, 2), (1, 99)):
        said = releases_pb2.Acknowledgement(sequence=sequence, version=1, state=state)  # type: ignore[arg-type]
        assert code_of(member, stub, "Acknowledge", said) == "release-unreadable"
    report = studies_pb2.DecisionReport(study_hash="a" * 64, approved=True)
    assert code_of(member, studies_pb2_grpc.StudiesStub, "ReportDecision", report) == "study-not-offered"


def test_a_mishap_of_the_coordinator_tells_strangers_nothing(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaitkeeper_server.enrolment.service.admit", lambda *_, **__: 1 / 0)
    endpoint = anonymous(consortium)
    with endpoint.channel() as channel, pytest.raises(GaitkeeperError) as error:
        call(enrolment_pb2_grpc.EnrolmentStub(channel).Enrol, enrolment_pb2.EnrolRequest(token="x"), endpoint)
    assert error.value.code == "rpc-failed"
    assert "division" not in str(error.value)


def test_a_second_coordinator_on_the_same_ports_is_told_so(consortium: Consortium) -> None:
    with pytest.raises(GaitkeeperError) as error:
        start_services(consortium.home)
    assert error.value.code == "port-taken"


def test_a_settings_file_that_is_broken_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        text = made.home.config_file.read_text()
        for old, new in (("site_port = ", "site_port = -"), ("hosts", "host"), ("[coordinator]", "[coordinator")):
            made.home.config_file.write_text(text.replace(old, new))
            with pytest.raises(GaitkeeperError) as error:
                made.home.config()
            assert error.value.code == "coordinator-config"


def test_many_sites_enrol_at_once(consortium: Consortium) -> None:
    names = [f"site-{number:02d}" for number in range(24)]
    invitations = [consortium.invitation(name) for name in names]
    homes = [new_site(consortium.folder / name, name) for name in names]
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(enrol, homes, invitations))
        assert all(not offers.refused for offers in pool.map(fetch_offers, homes))
    enrolled = {site.name: site for site in consortium.store.enrolled_sites()}
    assert set(names) <= set(enrolled)
    assert len({enrolled[name].node_public_key for name in names}) == len(names)


def test_callers_who_say_nothing_do_not_shut_out_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose request never comes holds a thread; it is taken from it with the connection's age."""
    import threading

    import grpc

    monkeypatch.setattr("gaitkeeper_server.services.THREADS", 2)
    monkeypatch.setattr("gaitkeeper_server.services.CONNECTION_AGE_S", 1.0)
    monkeypatch.setattr("gaitkeeper_server.services.ENROLMENT_GRACE_S", 0.5)
    over = threading.Event()

    def silence() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    with running(tmp_path) as made:
        endpoint = anonymous(made)
        with endpoint.channel() as channel:
            method = channel.stream_unary("/gaitkeeper.v1.Enrolment/Enrol")
            calls = [method.future(silence(), timeout=60) for _ in range(2)]
            try:
                # A caller who waited beside them could be cut off by the same short age: it comes once they are gone.
                cut_off = [call.exception(timeout=30) for call in calls]
                assert all(error.code() is grpc.StatusCode.UNAVAILABLE for error in cut_off)
                home = new_site(tmp_path / "north", "north")
                assert enrol(home, made.invitation("north")).site == "north"
            finally:
                over.set()


def test_connections_that_say_nothing_are_closed_and_make_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some never begin their handshake, some never call; each port has a place again soon."""
    import socket
    import ssl

    for name, value in (("HANDSHAKE_S", 1.0), ("ENROLMENT_IDLE_S", 1.0), ("ENROLMENT_CONNECTIONS", 4)):
        monkeypatch.setattr(f"gaitkeeper_server.services.{name}", value)
    with running(tmp_path) as made, contextlib.ExitStack() as open_ones:
        config = made.home.config()
        address = (config.hosts[0], config.enrolment_port)
        trust = ssl.create_default_context(cadata=made.home.root_certificate.read_text())
        trust.set_alpn_protocols(["h2"])
        silent = [open_ones.enter_context(socket.create_connection(address, 20.0)) for _ in range(2)]
        silent += [
            open_ones.enter_context(
                trust.wrap_socket(socket.create_connection(address, 20.0), server_hostname=address[0])
            )
            for _ in range(2)
        ]
        one_more = open_ones.enter_context(socket.create_connection(address, 20.0))
        assert one_more.recv(1) == b""
        for peer in silent:
            while peer.recv(4096):
                pass
        home = new_site(tmp_path / "north", "north")
        assert enrol(home, made.invitation("north")).site == "north"


def test_a_call_neither_fails_nor_waits_long_for_the_note_that_it_came(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("noted", "unnoted"):
        invite(consortium.home, name)
    monkeypatch.setattr("gaitkeeper_server.store_file.BUSY_S", 0.05)
    keeper = Doorkeeper(consortium.store)
    with contextlib.closing(sqlite3.connect(consortium.home.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        keeper._note("noted")
        other.execute("ROLLBACK")
    assert _seen(consortium) == [False, False]
    keeper = Doorkeeper(consortium.store)
    for name in ("noted", "unnoted", "noted"):
        keeper._note(name)
    assert _seen(consortium) == [True, False]  # the second one's waits for company
    monkeypatch.setattr("gaitkeeper_server.enrolment.identity._NOTE_TOGETHER_S", 0.0)
    keeper._note("noted")
    assert _seen(consortium) == [True, True]


def _seen(consortium: Consortium) -> list[bool]:
    return [site.last_seen is not None for site in consortium.store.sites() if site.name in ("noted", "unnoted")]


def test_writers_of_one_process_take_turns(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite by itself lets each try again and again, and gives up on who is unlucky."""
    store = consortium.store
    before = len(store.sites())

    def invite_one(number: int) -> None:
        store.invite(f"writer-{number}", f"token-{number}", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")

    with ThreadPoolExecutor(20) as pool:
        with store._turn():
            tries = [pool.submit(invite_one, number) for number in range(20)]
            assert len(store.sites()) == before  # reading waits for nobody
        for item in tries:
            item.result(60)
    assert len(store.sites()) == before + 20
    monkeypatch.setattr("gaitkeeper_server.store_file.BUSY_S", 0.05)
    with store._turn(), pytest.raises(GaitkeeperError, match="others wrote into it"):
        store.end_invitations()
