"""The coordinator's own gRPC servers: one port for enrolment, one for members over mutual TLS."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gaitkeeper_shared.rpc.channels import MAX_MESSAGE_BYTES  # first: it quiets gRPC's log before gRPC is loaded

import grpc  # isort: skip

from gaitkeeper_server.enrolment.identity import Doorkeeper
from gaitkeeper_server.enrolment.requests import ReadableOnly
from gaitkeeper_server.enrolment.service import EnrolmentService, MembershipService
from gaitkeeper_server.enrolment.studies import StudiesService
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.open_files import SERVICES_FILES, raise_open_files
from gaitkeeper_server.releases.service import DOWNLOAD_LIMIT_S, ReleasesService
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.gaitkeeper.v1.enrolment_pb2_grpc import (
    add_EnrolmentServicer_to_server,
    add_MembershipServicer_to_server,
)
from gaitkeeper_shared.rpc.gaitkeeper.v1.releases_pb2_grpc import add_ReleasesServicer_to_server
from gaitkeeper_shared.rpc.gaitkeeper.v1.studies_pb2_grpc import add_StudiesServicer_to_server
from gaitkeeper_shared.trust.certificates import load_certificate, pem
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.keys import load_private_key

THREADS = 64
MAX_WAITING_CALLS = 256
CONNECTION_AGE_S = 60.0
"""A connection is closed after this; calls on it may end within a grace. A call that says nothing would hold a thread
for ever otherwise: Python's gRPC servers know no deadlines of their own."""
ENROLMENT_GRACE_S = 10.0
SITE_GRACE_S = DOWNLOAD_LIMIT_S + 30.0
CALLS_A_CONNECTION = 16
HANDSHAKE_S = 10.0
ENROLMENT_IDLE_S = 15.0
"""A connection without a call is closed after this; members' connections have shown a certificate by then."""
ENROLMENT_CONNECTIONS = 512
SITE_CONNECTIONS = 4_096
STOP_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class RunningServices:
    """Servers that answer. Addresses are host:port, as bound on this machine."""

    enrolment_address: str
    site_address: str
    _servers: tuple[grpc.Server, ...]
    _held: contextlib.ExitStack

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Take no more calls, give the present ones ``grace_s`` seconds, and close."""
        for stopped in [server.stop(grace_s) for server in self._servers]:
            stopped.wait(grace_s + 5.0)
        self._held.close()


def start_services(home: CoordinatorHome, *, clock: Clock = utc_now) -> RunningServices:
    """Open both ports. Raises ``coordinator-missing`` or ``port-taken``; then neither is open."""
    config = home.config()
    store = CoordinatorStore(home.store)
    doorkeeper = Doorkeeper(store, clock)
    load_private_key(home.server_key)  # in the catalogue's words, where gRPC would only say no
    pair = (home.server_key.read_bytes(), pem(load_certificate(home.server_certificate)))

    files = raise_open_files(SERVICES_FILES)
    enrolment = _server(ENROLMENT_GRACE_S, min(ENROLMENT_CONNECTIONS, files // 8), ENROLMENT_IDLE_S)
    add_EnrolmentServicer_to_server(EnrolmentService(home, clock), enrolment)
    open_to_all = grpc.ssl_server_credentials([pair])

    members = _server(SITE_GRACE_S, min(SITE_CONNECTIONS, files // 2), CONNECTION_AGE_S)
    add_MembershipServicer_to_server(MembershipService(home, doorkeeper, clock), members)
    add_StudiesServicer_to_server(StudiesService(home, doorkeeper, clock), members)
    add_ReleasesServicer_to_server(ReleasesService(home, doorkeeper, clock), members)
    members_only = grpc.ssl_server_credentials(
        [pair], pem(load_certificate(home.root_certificate)), require_client_auth=True
    )

    addresses = (config.bound(config.enrolment_port), config.bound(config.site_port))
    for what, server, address, credentials in (
        ("enrolment", enrolment, addresses[0], open_to_all),
        ("site", members, addresses[1], members_only),
    ):
        try:
            if not server.add_secure_port(address, credentials):
                raise RuntimeError("it could not be bound")
        except RuntimeError as error:
            for opened in (enrolment, members):
                opened.stop(0)
            detail = str(error).splitlines()[0][:200]
            raise GaitkeeperError(
                "port-taken", what=what, address=address, detail=detail, config=home.config_file
            ) from error
    enrolment.start()
    members.start()
    held = contextlib.ExitStack()
    held.enter_context(store.kept_open())
    return RunningServices(*addresses, (enrolment, members), held)


def _server(grace_s: float, connections: int, idle_s: float) -> grpc.Server:
    return grpc.server(
        ThreadPoolExecutor(THREADS, thread_name_prefix="gaitkeeper-grpc"),
        options=[
            ("grpc.so_reuseport", 0),  # a second coordinator on this port must fail, not share it
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_connection_age_ms", int(CONNECTION_AGE_S * 1000)),
            ("grpc.max_connection_age_grace_ms", int(grace_s * 1000)),
            # Before a call gRPC knows no thread, but a file of this process for each who connects and says nothing.
            ("grpc.max_allowed_incoming_connections", connections),
            ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_S * 1000)),
            ("grpc.max_connection_idle_ms", int(idle_s * 1000)),
            ("grpc.max_concurrent_streams", CALLS_A_CONNECTION),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ],
        interceptors=[ReadableOnly()],
        maximum_concurrent_rpcs=MAX_WAITING_CALLS,
    )
