"""A share of a crowd of sites: each a thread with Flower's own Fleet connection, which answers orders at once.

Each has a key, a TLS connection and a heartbeat of its own, asks for messages at a site's pace and goes through what
Flower's node does with an order, request by request; what it sends is a valid update, made up and unlike any other's.

Standard input: one line of JSON, ``address``, ``root`` (a file) and ``sites`` (name and file of the node's key).
Standard output: a line of JSON per event: ``site``, ``what`` (``connected``, ``asked``, ``answered``) and ``at``,
seconds since 1970; ``refused`` where its connection was, which is tried again. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import (
    inflate_object_from_contents,
    pull_objects,
    push_object_contents_from_iterable,
)
from flwr.supernode import fleet_http_connection
from flwr.supernode.fleet_http_connection import http_request_response

from gaitkeeper_client.agent.node import PollPace, load_node_key
from gaitkeeper_shared.federation import (
    RoundOrder,
    RoundReply,
    SiteReport,
    Weights,
    decode_order,
    encode_reply,
    from_wire,
    to_wire,
)
from gaitkeeper_shared.notices import only_notices

DELTA = 1e-5
AT_ONCE = 8
"""Sites of one process that begin to connect at the same time."""
AGAIN_S = 5.0
"""A node that was refused ends, and its site starts it anew."""
_stdout = threading.Lock()


def _tell(site: str, what: str) -> None:
    with _stdout:
        print(json.dumps({"site": site, "what": what, "at": time.time()}), flush=True)


class Site:
    """One site, from its connection to its end."""

    def __init__(self, name: str, number: int, connection: Any) -> None:
        self._name, self._number = name, number
        _, self._receive, self._send, self._get_run, self._get_fab, *objects = connection
        self._pull_object, self._push_object, self._confirm = objects
        self._runs: set[int] = set()
        self._pace = PollPace(lambda: None, lambda: _tell(name, "connected"), lambda: None)

    def ask(self) -> None:
        """Ask for an order, and answer it where there is one."""
        received = self._receive()
        if received is None:
            self._pace.sleep(3.0)
            return
        message, tree = received
        run = message.metadata.run_id
        if run not in self._runs:
            self._get_fab(self._get_run(run).fab_hash, run)
            self._runs.add(run)
        names = [item.object_id for item in iterate_object_tree(tree)]
        contents = pull_objects(names, pull_object_fn=partial(self._pull_object, run))
        self._confirm(run, message.metadata.message_id)
        _tell(self._name, "asked")
        inflated = inflate_object_from_contents(message.metadata.message_id, contents)
        assert isinstance(inflated, Message)
        self._pace.sleep(0.5)
        content = from_wire(inflated.content)
        if only_notices(content):
            self._answer(message, RecordDict())
            return
        self._answer(message, self._trained(*decode_order(content)))
        _tell(self._name, "answered")

    def _trained(self, order: RoundOrder, weights: Weights) -> RecordDict:
        step = np.float32(1e-3 + 1e-6 * self._number)
        update = {name: (array + step).astype(array.dtype) for name, array in weights.items()}
        report = SiteReport(self._name, "trained", epsilon_spent=0.1 * order.round, delta=DELTA)
        return to_wire(encode_reply(RoundReply(report, update)))

    def _answer(self, message: Message, content: RecordDict) -> None:
        reply = Message(content, reply_to=message)
        vars(reply.metadata)["_message_id"] = reply.object_id
        tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
        wanted, session = self._send(reply, tree, 0.0)
        # Flower's node sends the parts in the order of the tree.
        parts = ((item, objects[item].deflate()) for item in _each_once(tree) if item in wanted)
        push_object_contents_from_iterable(parts, partial(self._push_object, message.metadata.run_id, session))


def _each_once(tree: ObjectTree) -> list[str]:
    return list(dict.fromkeys(item.object_id for item in iterate_object_tree(tree)))


class RefusedError(Exception):
    """The coordinator did not let a node in: its first try came through after it had been given up, for example."""


def _refused(*words: object) -> None:
    raise RefusedError(*words)


def _attend(name: str, number: int, key: Path, address: str, root: bytes, door: threading.Semaphore) -> None:
    private = load_node_key(key)
    while True:
        with contextlib.ExitStack() as inside:
            door.acquire()
            connection = http_request_response(address, False, root, (private, private.public_key()))
            try:
                site = Site(name, number, inside.enter_context(connection))
            except RefusedError:
                _tell(name, "refused")
                time.sleep(AGAIN_S)
                continue
            finally:
                door.release()
            while True:
                site.ask()


def main() -> None:
    """Entry point of the child process."""
    asked = json.loads(sys.stdin.readline())
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    # It ends the process, in which there are other sites.
    vars(fleet_http_connection)["flwr_exit"] = _refused
    root, door = Path(asked["root"]).read_bytes(), threading.Semaphore(AT_ONCE)
    for number, (name, key) in enumerate(asked["sites"], start=asked["first"]):
        threading.Thread(
            target=_attend, args=(name, number, Path(key), asked["address"], root, door), daemon=True
        ).start()
    sys.stdin.read()
    # Nobody signs off: the coordinator goes first.
    os._exit(0)


if __name__ == "__main__":
    main()
