"""Faults of the line between one site and the coordinator, and of what comes over it."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from flwr.app import Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from tests.faults.relay import Mode
from tests.faults.stage import MOMENT_S, SITES, Stage
from tests.faults.words import summary

from gaitkeeper_client.agent.node import load_node_key
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.trust.certificates import Authority, pem
from gaitkeeper_shared.trust.keys import new_tls_key, private_pem

SITE, OTHER = SITES[0], SITES[1]
HELD_S = 4.0
FLOOD_MIB = 384
"""What a site may be sending, 128 MiB, as it comes and as it is read, its quota, and room to spare."""
_NAMED = {"size": "more than [0-9]+ bytes,", "number": "more than [0-9]+ objects", "haste": "bytes at a time"}


def link(stage: Stage, mode: Mode, seconds: str = "0") -> str:
    """The link of one site fails while it trains; after ``seconds`` it is well again (0: at once, or by itself)."""
    relay = stage.relays[SITE]
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        relay.set(mode)
        trap.release()
        stage.pause(float(seconds))
        if float(seconds):
            relay.set("pass")
            relay.drop()
        return summary(stage.end_of(run))
    finally:
        trap.release()
        relay.set("pass")


def link_down_for_good(stage: Stage, mode: Mode) -> str:
    """The link of one site fails before a run and stays so until its end."""
    relay = stage.relays[SITE]
    relay.set(mode)
    if mode == "cut":
        stage.pause(2.0)
    try:
        return summary(stage.end_of(stage.begin(rounds=1, deadline_s=20.0)))
    finally:
        relay.set("pass")
        relay.drop()
        stage.children.restart(f"{SITE}-node")
        stage.pause(6.0)


def late(stage: Stage) -> str:
    """A reply comes after its round was closed: in the next round it must not be taken for that round's."""
    trap = stage.trap(SITE, "stored")
    second = stage.trap("conductor", "dispatched", 2)
    run = stage.begin(rounds=2, deadline_s=30.0)
    try:
        stage.wait(second.hit, MOMENT_S)
        trap.release()
        stage.pause(1.0)
    finally:
        trap.release()
        second.release()
    return summary(stage.end_of(run))


def reply_again(stage: Stage, pretended: str) -> str:
    """A second reply to a message that was answered, by the site itself, or by another one for it.

    Flower answers 200 also where it does not keep a reply; what counts is what the round was made of.
    """
    trap = stage.trap("conductor", "dispatched", 2)
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.pause(1.0)
        sender = {"itself": SITE, "another": OTHER}[pretended]
        key = load_node_key(stage.keys[sender])
        number = int((stage.folder / sender / "node.number").read_text("ascii"))
        answered, flower_run = (stage.folder / SITE / "last-message").read_text("ascii").split()
        request = _reply(answered, int(flower_run), number)
        address = f"127.0.0.1:{stage.config.fleet_port}"
        root = stage.home.root_certificate.read_bytes()
        signed = NodeAuthHttpInterceptor(key, key.public_key())
        with FleetHttpClient.from_server_address(address, False, root, interceptors=[signed]) as client:
            try:
                client.PushMessages(request)
                told = "answered with 200"
            except httpx.HTTPStatusError as error:
                told = f"refused with {error.response.status_code}"
    finally:
        trap.release()
    return f"{told}; {summary(stage.end_of(run))}"


def _reply(answered: str, flower_run: int, number: int) -> PushMessagesRequest:
    """A reply without an update to a message, in every other way as flwr sends one. ``number``: the sender's node."""
    metadata = Metadata(
        run_id=flower_run,
        message_id="",
        src_node_id=number,
        dst_node_id=SUPERLINK_NODE_ID,
        reply_to_message_id=answered,
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type="train",
    )
    message = make_message(metadata, content=RecordDict())
    vars(message.metadata)["_message_id"] = message.object_id
    return PushMessagesRequest(
        node=Node(node_id=number),
        messages_list=[message_to_proto(message)],
        message_object_trees=[get_object_tree(message)],
    )


def misbehave(stage: Stage, what: str) -> str:
    """A site sends something that must not count; a round later it behaves."""
    stage.wish(SITE, what)
    return summary(stage.end_of(stage.begin()))


def flood(stage: Stage) -> str:
    """One site's node sends, in place of each reply, as much as it can; what that takes of the SuperLink's memory."""
    superlink = stage.pid("superlink")
    before = _resident_mib(superlink, "VmRSS")
    Path(f"/proc/{superlink}/clear_refs").write_text("5", "ascii")  # its peak is counted from here
    with _other_node(stage, "tests.faults.flooding_node"):
        ended = summary(stage.end_of(stage.begin()))
        stage.pause(1.0)
        grown = _resident_mib(superlink, "VmHWM") - before
    told = (stage.home.logs / "superlink.log").read_text("utf-8", errors="replace")
    named = [what for what, words in _NAMED.items() if re.search(rf"{SITE}.*{words}", told)]
    well = f"memory within {FLOOD_MIB} MiB more" if grown <= FLOOD_MIB else f"memory grew by {grown:.0f} MiB"
    after = summary(stage.end_of(stage.begin(rounds=1)))
    return f"{ended}; the log names the site for {', '.join(named) or 'nothing'}; {well}; then {after}"


def _resident_mib(pid: int, what: str) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
    return int(status[what].split()[0]) / 1024


@contextlib.contextmanager
def _other_node(stage: Stage, module: str) -> Iterator[None]:
    """Another node in the place of a site's own; afterwards the right one, which is up."""
    stage.stop_site(SITE)
    stage.modules[SITE] = module
    stage.start_site(SITE, stage.keys[SITE])
    try:
        stage.wait(stage.keys[SITE].with_name("executor.ready").exists, MOMENT_S)
        yield
    finally:
        stage.stop_site(SITE)
        del stage.modules[SITE]
        stage.start_site(SITE, stage.keys[SITE])
    stage.wait_for_sites((SITE,))


class Impostor:
    """A TLS server with a certificate that the site must not accept. Counts what it is told all the same."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.told = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
                peer.settimeout(3.0)
                with self._context.wrap_socket(peer, server_side=True) as line:
                    self.told += len(line.recv(4096))
            except ssl.SSLError:
                continue
            except TimeoutError:
                continue
            except OSError:
                if self._listener.fileno() < 0:
                    return

    def close(self) -> None:
        """End it."""
        self._listener.close()


def impostor(stage: Stage, kind: str) -> str:
    """Somebody else answers at the coordinator's address for a while, while a site is away from its round."""
    certificate, key = _false_pair(stage, kind)
    server = Impostor(certificate, key)
    relay = stage.relays[SITE]
    right = relay.target
    trap = stage.trap(SITE, "charged")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        relay.target = server.address
        relay.drop()
        trap.release()
        stage.pause(HELD_S)
    finally:
        trap.release()
        relay.target = right
        relay.drop()
    told = "told nothing" if not server.told else f"told {server.told} bytes"
    server.close()
    return f"{told}; {summary(stage.end_of(run))}"


def _false_pair(stage: Stage, kind: str) -> tuple[Path, Path]:
    key = new_tls_key()
    if kind == "another-authority":
        made = Authority.create("another").issue_server(key.public_key(), ("127.0.0.1",))
    elif kind == "expired":
        past = datetime.now(UTC) - timedelta(days=2000)
        made = stage.home.authority().issue_server(key.public_key(), ("127.0.0.1",), clock=lambda: past)
    else:
        made = stage.home.authority().issue_server(key.public_key(), ("192.0.2.1",))
    paths = stage.folder / f"{kind}.crt", stage.folder / f"{kind}.key"
    write_durably(paths[0], pem(made))
    write_durably(paths[1], private_pem(key))
    return paths


def clock(stage: Stage) -> str:
    """The clock of one site's machine is an hour ahead during a run; set right, the site is back in the next."""
    with _other_node(stage, "tests.faults.shifted_node"):
        wrong = summary(stage.end_of(stage.begin(rounds=1, deadline_s=20.0)))
    return f"{wrong}; then {summary(stage.end_of(stage.begin(rounds=1)))}"


def revoked(stage: Stage) -> str:
    """A site is revoked between two rounds; enrolled again it is back in the next run."""
    trap = stage.trap("conductor", "committed")
    run = stage.begin()
    try:
        stage.wait(trap.hit, MOMENT_S)
        stage.store.revoke(SITE)
        time.sleep(1.5)
    finally:
        trap.release()
    out = summary(stage.end_of(run))
    stage.stop_site(SITE)
    stage.enrol(SITE)
    stage.start_site(SITE, stage.keys[SITE])
    stage.wait_for_sites((SITE,))
    return f"{out}; then {summary(stage.end_of(stage.begin(rounds=1)))}"
