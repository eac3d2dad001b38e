"""The SuperLink's state: in its memory, with nodes whose numbers outlive it.

Flower can keep it in SQLite; four fifths of a round would then be SQL statements, some five hundred of them for three
sites. Nothing in it is worth that: who is enrolled is in the coordinator's store, what a run has reached is in the
journal, and what a site has answered is in that site's ledger. A SuperLink that is killed takes with it the messages
that were under way: the conductor starts its Flower run anew and asks those sites again whose reply was not recorded,
and a site that has answered before answers with the same bytes, uncharged.

Memory is shared by all sites, so that each may leave so much in it and no more (``quota``). A reply beyond that is
dropped with all its objects; the conductor reads in its place that it was refused, and why, and the round names it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING

from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.server.superlink.linkstate import linkstate_factory
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NodeStatus
from flwr.supercore.date import now

from gaitkeeper_server.rounds.quota import ReplyQuota

if TYPE_CHECKING:
    from flwr.proto.message_pb2 import ObjectTree
    from flwr.supercore.object_store import ObjectStore
    from flwr.superlink.federation import FederationManager

_log = logging.getLogger("gaitkeeper.superlink")
_SWEEP_EVERY_S = 10.0


class LinkStateInMemory(InMemoryLinkState):
    """Flower's own, but a node has the number that follows from its key, so that it goes on after a restart, and a
    quota of what it may leave here."""

    def __init__(self, federation_manager: FederationManager, object_store: ObjectStore) -> None:
        super().__init__(federation_manager, object_store)
        self.quota = ReplyQuota(object_store)
        self._undelivered: dict[int, dict[str, None]] = {}
        """By node, the messages that it has not fetched, in order."""
        self._swept_at = 0.0

    def create_node(
        self,
        owner_aid: str,
        owner_name: str,
        public_key: bytes,
        heartbeat_interval: float,
        *,
        location: str | None = None,
        name: str | None = None,
    ) -> int:
        """Create a node and return its number. Raises ``ValueError`` where the key is in use."""
        number = node_number(public_key)
        with self.lock:
            if number in self.nodes and self.nodes[number].status == NodeStatus.UNREGISTERED:
                # Revoked once, and admitted again with the same key.
                self.node_public_key_to_node_id.pop(public_key, None)
        drawn = super().create_node(owner_aid, owner_name, public_key, heartbeat_interval, location=location, name=name)
        with self.lock:
            info = self.nodes.pop(drawn)
            info.node_id = number
            self.nodes[number] = info
            self.node_public_key_to_node_id[public_key] = number
            self.owner_to_node_ids[owner_aid].discard(drawn)
            self.owner_to_node_ids[owner_aid].add(number)
        return number

    def get_message_ins(self, node_id: int, limit: int | None, *, run_id: int | None = None) -> list[Message]:
        """Messages for a node. Who asks is there: after a restart nobody waits half a minute for a sign of life."""
        with self.lock:
            info = self.nodes.get(node_id)
            if info is not None and info.status == NodeStatus.REGISTERED:
                self.acknowledge_node_heartbeat(node_id, info.heartbeat_interval)
            # Flower looks at every message of everybody for each node that asks: with ever more of both, at ever more.
            found: list[Message] = []
            waiting = self._undelivered.get(node_id, {})
            for message_id in list(waiting):
                self._check_stored_messages({message_id})
                message = self.message_ins_store.get(message_id)
                if message is None or (run_id is not None and message.metadata.run_id != run_id):
                    continue
                del waiting[message_id]
                message.metadata.delivered_at = now().isoformat()
                found.append(message)
                if len(found) == limit:
                    break
            return found

    def has_order(self, public_key: bytes) -> bool:
        """Whether a message waits for the node with this key (PEM)."""
        return bool(self._undelivered.get(node_number(public_key)))

    def store_message_ins(self, message: Message) -> str | None:
        """Store a message to a node; None where that is not possible."""
        with self.lock:
            known = message.metadata.message_id in self.message_ins_store
            stored = super().store_message_ins(message)
            if stored and not known:
                self._undelivered.setdefault(message.metadata.dst_node_id, {})[stored] = None
            return stored

    def store_message_and_object_tree(
        self, message: Message, object_tree: ObjectTree, session_id: str
    ) -> tuple[bool, list[str]]:
        """Store a message and announce its objects. A reply beyond its node's quota is dropped, and the round told."""
        metadata = message.metadata
        order = metadata.reply_to_message_id
        with self.lock:
            if not order:
                self._sweep()
                self.quota.order(metadata.run_id, metadata.message_id, object_tree)
                return super().store_message_and_object_tree(message, object_tree, session_id)
            why = self.quota.refuses(metadata.src_node_id, metadata.run_id, order, object_tree)
            if not why and object_tree.object_id != metadata.message_id:
                # The coordinator would look for the one and never find, nor remove, the other.
                why = "its reply and the objects of it have different names"
            if why:
                self._cleanup_push_session(session_id, cleanup_messages=True)
                self._refuse(metadata.src_node_id, order, why)
                return False, []
            stored, missing = super().store_message_and_object_tree(message, object_tree, session_id)
            if stored:
                self.quota.reply(session_id, metadata.src_node_id, metadata.run_id, order, missing)
            else:
                # Flower would keep it to the end of the run, for each of any number of replies to nothing.
                self._cleanup_push_session(session_id, cleanup_messages=False)
            return stored, missing

    def store_object(self, run_id: int, session_id: str, object_id: str, object_content: bytes) -> bool:
        """Store an object of a session, of which every sender has the name; one beyond its node's quota ends it."""
        with self.lock:
            if not session_id:
                return False
            node = self.quota.sender(session_id)
            if node is not None and (why := self.quota.too_much(session_id, len(object_content))):
                order = self.quota.order_of(session_id)
                self._cleanup_push_session(session_id, cleanup_messages=True)
                self._refuse(node, order, why)
                return False
            stored = super().store_object(run_id, session_id, object_id, object_content)
            if stored:
                self.quota.stored(node, run_id, object_id, len(object_content))
            return stored

    def _cleanup_push_session(self, session_id: str, *, cleanup_messages: bool) -> None:
        super()._cleanup_push_session(session_id, cleanup_messages=cleanup_messages)
        self.quota.over(session_id)

    def places_for_replies(self) -> int:
        """How many more replies may come (``room``)."""
        with self.lock:
            return self.quota.places()

    def delete_messages(self, message_ins_ids: set[str]) -> None:
        """Delete messages and the replies to them, with what lies here of them but for a reply that is being read.

        Flower leaves the objects to the end of the run: of each round in which a site stayed away, a whole model.
        """
        with self.lock:
            for message_id in message_ins_ids:
                asked = self.message_ins_store.get(message_id)
                if asked is not None:
                    self._undelivered.get(asked.metadata.dst_node_id, {}).pop(message_id, None)
                    self.object_store.delete(message_id)
                reply = self.message_res_store.get(self.message_ins_id_to_message_res_id.get(message_id, ""))
                if reply is not None and not reply.metadata.delivered_at:
                    self.object_store.delete(reply.metadata.message_id)
            super().delete_messages(message_ins_ids)
            self.quota.orders_gone(message_ins_ids)

    def _sweep(self) -> None:
        """Delete the messages that are too old to be answered; nobody may ever ask for them again."""
        if time.monotonic() - self._swept_at > _SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            self._check_stored_messages(set(self.message_ins_store))

    def cleanup_run(self, run_id: int) -> None:
        """Forget what lies here of a run that is over."""
        super().cleanup_run(run_id)
        self.quota.run_gone(run_id)

    def _refuse(self, node: int, order: str, why: str) -> None:
        """Answer an order of this node in the coordinator's own name, where it has no answer yet."""
        info, asked = self.nodes.get(node), self.message_ins_store.get(order)
        _log.warning("%s: refused: %s", node if info is None else info.name, why)
        if asked is None or asked.metadata.dst_node_id != node or order in self.message_ins_id_to_message_res_id:
            return
        told = _refusal(asked.metadata, why)
        self._store_generated_message(told)
        self.message_res_store[told.metadata.message_id] = told
        self.message_ins_id_to_message_res_id[order] = told.metadata.message_id


def _refusal(asked: Metadata, why: str) -> Message:
    """The SuperLink's own answer to a message, as Flower makes one for a node that is gone."""
    moment = now().timestamp()
    metadata = Metadata(
        run_id=asked.run_id,
        message_id="",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=SUPERLINK_NODE_ID,
        reply_to_message_id=asked.message_id,
        group_id=asked.group_id,
        message_type=asked.message_type,
        created_at=moment,
        ttl=max(asked.ttl - (moment - asked.created_at), 0),
        src_task_id=asked.dst_task_id,
        dst_task_id=asked.src_task_id,
    )
    told = make_message(metadata, error=Error(code=ErrorCode.REPLY_MESSAGE_UNAVAILABLE, reason=why))
    # Flower names a message by its content and offers no way to say so.
    vars(told.metadata)["_message_id"] = told.object_id
    return told


def node_number(public_key: bytes) -> int:
    """A node's number, 64 bits without a sign, from its key: two of a thousand share one with a chance of 3e-14."""
    number = int.from_bytes(hashlib.sha256(public_key.strip()).digest()[:8], "big")
    return number if number not in (0, SUPERLINK_NODE_ID) else number + 2


def use_memory() -> None:
    """Let Flower's factory make this state: it offers no interface for it, so that it is found by name."""
    vars(linkstate_factory)["InMemoryLinkState"] = LinkStateInMemory
