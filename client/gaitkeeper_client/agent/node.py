"""The site's Flower SuperNode: flwr's own code, as a child process, polling often while a run is going on.

It only carries messages. The bundle that comes with a run is neither installed nor run: this machine's executor, which
takes the messages over the Runtime API on loopback, knows one application, the installed one (see ``executor``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from gaitkeeper_shared.cli import quiet_environment
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.processes import read_settings
from gaitkeeper_shared.proxies import heed_range

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_log = logging.getLogger("gaitkeeper.node")
_IDLE_POLL_S = 1.0
_REPLY_POLL_S = 0.01
_HOLD_S = 2.0
_REMIND_S = 0.1


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """``fleet_address`` is host:port; ``runtime_port`` on loopback, opened by ``runtime_secret``."""

    fleet_address: str
    root_certificate: str
    node_key: str
    runtime_port: int
    runtime_secret: str
    ready: str = ""
    """A file to make once the coordinator has answered."""
    identity: str = ""
    """A file that keeps the number which the coordinator gave to this node."""


class RuntimeGate:
    """The ASGI application of the Runtime API on loopback: holds the executor's question until a message has arrived.

    Flower's executors ask again and again; held back here, a message is answered at once and an idle site is idle. Nor
    may the executor come early: a task is there before its message, and one whose run ends meanwhile never gets it.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._arrived: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def ring(self) -> None:
        """From any thread: a message has arrived whole."""
        if self._loop is not None and self._arrived is not None:
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if self._arrived is None:
            self._arrived, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if scope["type"] == "http" and scope["path"] == "/v1/runtime/acquire-task":
            try:
                await asyncio.wait_for(self._arrived.wait(), _HOLD_S)
            except TimeoutError:
                await _answer_nothing(send)
                return
            self._arrived.clear()
        await self._application(scope, receive, send)


async def _answer_nothing(send: Any) -> None:
    """An AcquireTaskResponse without a task: in protobuf, no bytes at all."""
    headers = [(b"content-type", PROTOBUF_MEDIA_TYPE.encode("ascii")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class PollPace:
    """Stands in for the ``time`` module of flwr's worker loop, whose sleeps are constants made for idle nodes.

    It sleeps 3 s when there is no message and half a second while it waits for the executor's reply; with those, three
    quarters of a round would be waiting. The coordinator holds a node's question until there is a message, so that the
    node may ask again at once; one that answers at once (a stock SuperLink) is asked once a second.
    """

    def __init__(
        self, on_message: Callable[[], None], on_connected: Callable[[], None], on_idle: Callable[[], None]
    ) -> None:
        self._on_message, self._on_connected, self._on_idle = on_message, on_connected, on_idle
        self._connected = False
        self._waiting_since: float | None = None
        self._asked_at = -math.inf

    def sleep(self, seconds: float) -> None:
        """Sleep for the time that fits what flwr waits for. To be called at all, it must have been answered once."""
        if not self._connected:
            self._connected = True
            self._on_connected()
        if seconds < 1:
            moment = time.monotonic()
            # Again after a while: the next message may come without an idle moment that would tell it from this one.
            if self._waiting_since is None or moment - self._waiting_since >= _REMIND_S:
                self._waiting_since = moment
                self._on_message()
            # The question after a message is answered at once, in case there are more; the one after it is held.
            self._asked_at = -math.inf
            time.sleep(_REPLY_POLL_S)
            return
        self._waiting_since = None
        self._on_idle()
        moment = time.monotonic()
        if moment - self._asked_at < _IDLE_POLL_S:
            time.sleep(_IDLE_POLL_S)
        self._asked_at = time.monotonic()


def load_node_key(path: Path) -> EllipticCurvePrivateKey:
    """The node's private key, as PEM or in OpenSSH's format."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    data = path.read_bytes()
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    key = load(data, None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no elliptic-curve key")
    return key


def try_for_ever() -> None:
    """Let flwr try again after whatever goes wrong on the line, its reply in hand.

    By itself it gives up where the error's words name TLS, also where a handshake only took too long: it then forgets
    the reply that it was sending and goes on asking for messages, and the coordinator waits for the reply in vain.
    A coordinator with a wrong certificate is told nothing, however often it is tried; the log has each new reason.
    """
    import httpx
    from flwr.supercore.retry import make_simple_http_retry_invoker as of_flwr
    from flwr.supernode import fleet_http_connection

    def persistent() -> Any:
        invoker = of_flwr()
        told: str | None = None
        gives_up = invoker.should_giveup

        def should_giveup(error: Exception) -> bool:
            nonlocal told
            if not isinstance(error, httpx.TransportError):
                return gives_up is not None and gives_up(error)
            if (why := str(error) or type(error).__name__) != told:
                told = why
                _log.warning("the coordinator is not reached, and tried again: %s", why)
            return False

        invoker.should_giveup = should_giveup
        return invoker

    # By name, as the clock below.
    vars(fleet_http_connection)["make_simple_http_retry_invoker"] = persistent


def run_node(settings: NodeSettings) -> None:
    """Run until SIGTERM. flwr ends the process by itself where the coordinator refuses this node."""
    from flwr.common.constant import Status, SubStatus
    from flwr.supercore.object_store import ObjectStoreFactory
    from flwr.supernode import start_client_internal as worker
    from flwr.supernode.main import create_app
    from flwr.supernode.nodestate import NodeStateFactory

    secret = settings.runtime_secret.encode()
    states = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    key = load_node_key(Path(settings.node_key))
    _sign_off(settings, key)
    try_for_ever()
    gate = RuntimeGate(create_app(state_factory=states, superexec_auth_secret=secret))
    _serve_runtime(gate, settings.runtime_port)

    def connected() -> None:
        if settings.identity:
            write_durably(Path(settings.identity), str(states.state().get_node_id()).encode())
        if settings.ready:
            Path(settings.ready).touch()

    def forget_leftovers() -> None:
        # flwr keeps the task of a message whose run ended while it came; the executor would get it before the next.
        for task in states.state().get_tasks(statuses=[Status.PENDING]):
            states.state().finish_task(task.task_id, SubStatus.FAILED, "its message never arrived")
            states.state().delete_messages()

    # By name: flwr does not offer the module's clock as an interface, so it is found again at every release of flwr.
    vars(worker)["time"] = PollPace(gate.ring, connected, forget_leftovers)
    worker.start_client_internal(
        state_factory=states,
        server_address=settings.fleet_address,
        node_config={},
        root_certificates=Path(settings.root_certificate).read_bytes(),
        insecure=False,
        authentication_keys=(key, key.public_key()),
        isolation="process",
        runtime_api_address=f"127.0.0.1:{settings.runtime_port}",
        superexec_auth_secret=secret,
        runtime_dependency_install=False,
    )


def _serve_runtime(gate: RuntimeGate, port: int) -> None:
    import uvicorn

    settings = uvicorn.Config(gate, host="127.0.0.1", port=port, access_log=False, log_level="warning")
    # Daemon: flwr leaves the process by sys.exit, and nothing here has to outlive it.
    threading.Thread(target=uvicorn.Server(settings).run, name="runtime-api", daemon=True).start()


def _sign_off(settings: NodeSettings, key: EllipticCurvePrivateKey) -> None:
    """End what is left of a node that was killed: the coordinator would refuse a second one for another minute."""
    import httpx
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    try:
        number = int(Path(settings.identity).read_text("ascii")) if settings.identity else 0
    except (OSError, ValueError):
        return
    root = Path(settings.root_certificate).read_bytes()
    signed = NodeAuthHttpInterceptor(key, key.public_key())
    with (
        contextlib.suppress(httpx.HTTPError, ValueError),
        FleetHttpClient.from_server_address(settings.fleet_address, False, root, interceptors=[signed]) as client,
    ):
        client.DeactivateNode(DeactivateNodeRequest(node_id=number))


def main() -> None:
    """Entry point of the child process."""
    quiet_environment()
    settings = NodeSettings(**read_settings())
    heed_range(settings.fleet_address.rpartition(":")[0])
    run_node(settings)


if __name__ == "__main__":
    main()
