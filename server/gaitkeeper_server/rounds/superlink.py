"""The Flower SuperLink as a process of its own: its state in memory, TLS and node authentication, on two ports.

The public port speaks TLS and passes Fleet to enrolled nodes; the operator's port is on loopback (see ``gate``). Nodes
are registered from the coordinator's list of enrolled sites, under the sites' names, and removed when the site is
revoked or its certificate has expired. The runtime installation of dependencies does not exist here: no bundle's code
is ever run by this process' children.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from asyncio import sslproto
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.open_files import SUPERLINK_FILES, raise_open_files
from gaitkeeper_server.rounds.admitted import AdmittedNodes
from gaitkeeper_server.rounds.bell import Bell
from gaitkeeper_server.rounds.callers import Callers, DoorLimits
from gaitkeeper_server.rounds.door import DoorServer, Server, listen
from gaitkeeper_server.rounds.gate import (
    Application,
    EnrolledKeys,
    FleetGate,
    InTurn,
    OperatorAuthn,
    OperatorGate,
)
from gaitkeeper_server.rounds.link_state import use_memory
from gaitkeeper_server.rounds.room import Room
from gaitkeeper_server.rounds.short_road import ShortRoad
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.processes import read_settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flwr.server.superlink.linkstate import LinkState

_log = logging.getLogger("gaitkeeper.superlink")
_SYNC_EVERY_S = 0.5
_UNKNOWN_FOR_S = 10.0
"""For so long the last list of enrolled sites counts while it cannot be read; then nobody is let in."""
_IDLE = {"ControlLicenseMiddleware", "ControlEventLogMiddleware", "FleetEventLogMiddleware", "RuntimeTracingMiddleware"}
_HOLD_NODES_S, _HOLD_MANY_NODES_S, _HOLD_CONDUCTOR_S = 5.0, 20.0, 1.0
"""Flower's clients give an answer half a minute."""
_OTHER_FILES = 200
_CONNECTION_BUFFER = 32 * 1024
"""Bytes. asyncio gives each TLS connection 256 KiB for as long as it lasts: with 1,000 sites, most of the memory."""


@dataclass(frozen=True, slots=True)
class SuperLinkSettings:
    """Where the SuperLink answers. ``operator_secret`` opens Control and Runtime."""

    host: str
    port: int
    certificate: Path
    key: Path
    operator_port: int
    operator_secret: str


EnrolledSites = Callable[[], Mapping[str, bytes]]
"""The Flower node public keys (PEM) of the sites that may take part, by site name; asked anew twice a second."""


def serve(settings: SuperLinkSettings, enrolled_sites: EnrolledSites, on_ready: Callable[[], None]) -> None:
    """Run until SIGTERM or SIGINT."""
    application = _application(settings)
    keys = EnrolledKeys()
    state = application.state.linkstate_factory.state()
    synchronise_nodes(state, keys, enrolled_sites())
    stopping = threading.Event()
    membership = Membership(state, keys, enrolled_sites)

    def keep_synchronised() -> None:
        while not stopping.wait(_SYNC_EVERY_S):
            membership.refresh()

    threading.Thread(target=keep_synchronised, name="enrolled-nodes", daemon=True).start()
    try:
        asyncio.run(_serve_both(settings, application, keys, on_ready))
    finally:
        stopping.set()


class Membership:
    """Keeps the SuperLink's nodes those that are enrolled. Without a list to go by, nobody is let in for long."""

    def __init__(
        self,
        state: LinkState,
        keys: EnrolledKeys,
        enrolled_sites: EnrolledSites,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._keys, self._enrolled_sites, self._clock = state, keys, enrolled_sites, clock
        self._read_at = clock()
        self._trouble = ""

    def refresh(self) -> None:
        """Read the list and follow it. Never raises: the list lies in another process' database, which may be busy."""
        try:
            sites = self._enrolled_sites()
        except Exception as error:
            self._tell(f"the list of enrolled sites cannot be read ({type(error).__name__}: {error})")
            if self._clock() - self._read_at > _UNKNOWN_FOR_S:
                # Somebody may have been revoked since: better that no site gets in than one that must not.
                self._keys.replace({})
            return
        self._read_at = self._clock()
        try:
            synchronise_nodes(self._state, self._keys, sites)
        except Exception as error:
            self._tell(f"Flower's nodes cannot be changed ({type(error).__name__}: {error})")
        else:
            self._tell("")

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.warning("%s", trouble or "the enrolled sites are known again")
            self._trouble = trouble


def synchronise_nodes(state: LinkState, keys: EnrolledKeys, sites: Mapping[str, bytes]) -> None:
    """Make the SuperLink know exactly the enrolled sites as nodes, each under its site's name."""
    from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, NOOP_ACCOUNT_NAME, NOOP_FLWR_AID

    keys.replace(sites)
    known = {
        info.name: info for info in state.get_node_info(owner_aids=[NOOP_FLWR_AID]) if info.status != "unregistered"
    }
    for name, node in known.items():
        if sites.get(name, b"").strip() != node.public_key.strip():
            state.delete_node(NOOP_FLWR_AID, node.node_id)
    for name, key in sites.items():
        if name not in known or known[name].public_key.strip() != key.strip():
            state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, HEARTBEAT_DEFAULT_INTERVAL, name=name)


def _application(settings: SuperLinkSettings) -> FastAPI:
    from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig
    from flwr.superlink.main import create_app

    use_memory()
    # A class attribute without a setting for it.
    sslproto.SSLProtocol.max_size = _CONNECTION_BUFFER
    config = SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host="127.0.0.1",
        port=settings.operator_port,
        insecure=False,
        certificates=None,
        superexec_auth_secret=settings.operator_secret.encode(),
        authn_plugin=OperatorAuthn(settings.operator_secret),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type="grpc-rere",
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=str(settings.certificate),
        ssl_keyfile=str(settings.key),
        database=FLWR_IN_MEMORY_DB_NAME,
        isolation="process",
        runtime_dependency_install=False,
    )
    application = create_app(config, SuperLinkLifespan)
    # Each costs a task and two queues per request, and does nothing without its plug-in, which there is none of here.
    application.user_middleware = [
        item for item in application.user_middleware if getattr(item.cls, "__name__", "") not in _IDLE
    ]
    return application


async def _serve_both(
    settings: SuperLinkSettings, application: FastAPI, keys: EnrolledKeys, on_ready: Callable[[], None]
) -> None:
    in_turn = InTurn(application, ShortRoad(application).answer)
    orders, replies = Bell(_HOLD_NODES_S, _HOLD_MANY_NODES_S), Bell(_HOLD_CONDUCTOR_S)
    state = application.state.linkstate_factory.state()
    room = Room(state.places_for_replies)
    limits = _limits()
    callers = Callers(limits)
    tls = {"ssl_certfile": str(settings.certificate), "ssl_keyfile": str(settings.key)}
    gate = FleetGate(in_turn, keys, orders, replies, room, callers, state.has_order)
    public = DoorServer(_config(gate, lifespan="off", **tls), callers, limits)
    operator = Server(_config(OperatorGate(in_turn, orders, replies, room), lifespan="on"))
    servers: tuple[Server, ...] = (public, operator)
    loop = asyncio.get_running_loop()

    def end() -> None:
        for server in servers:
            server.should_exit = True
        # Who is held back is answered as usual: a node takes a broken answer for a broken coordinator.
        orders.end()
        replies.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    with listen(settings.host, settings.port) as outer, listen("127.0.0.1", settings.operator_port) as inner:
        tasks = [
            asyncio.create_task(public.serve(sockets=[outer])),
            asyncio.create_task(operator.serve(sockets=[inner])),
        ]
        while not all(server.started for server in servers) and not any(task.done() for task in tasks):
            await asyncio.sleep(0.02)
        if all(server.started for server in servers):
            on_ready()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end()
            await asyncio.gather(*tasks)


def _config(application: Application, **options: Any) -> uvicorn.Config:
    # Questions that are held back are not worth waiting for at the end.
    common: dict[str, Any] = {
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": 1,
        "ws": "none",
    }
    return uvicorn.Config(application, **common, **options)


def _limits() -> DoorLimits:
    """As many connections as files may be open; of them, never more than a part to strangers."""
    most = raise_open_files(SUPERLINK_FILES) - _OTHER_FILES
    limits = DoorLimits()
    return replace(limits, connections=min(limits.connections, most), strangers=min(limits.strangers, most // 4))


def main() -> None:
    """Entry point of the child process; its settings name the coordinator's home and the operator's secret."""
    quiet_environment()
    settings = read_settings()
    home = CoordinatorHome(Path(settings["home"]))
    config = home.config()
    store = CoordinatorStore(home.store)
    ready = Path(settings["ready"])

    serve(
        SuperLinkSettings(
            host=config.bind,
            port=config.fleet_port,
            certificate=home.server_certificate,
            key=home.server_key,
            operator_port=config.control_port,
            operator_secret=settings["operator_secret"],
        ),
        AdmittedNodes(store.enrolled_sites),
        lambda: write_durably(ready, b"ready\n"),
    )


if __name__ == "__main__":
    main()
