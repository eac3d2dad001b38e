"""The SuperLink's state: in its memory, with nodes whose numbers outlive it.

Flower can keep it in SQLite; four fifths of a round would then be SQL statements, some five hundred of them for three
sites. Nothing in it is worth that: who is enrolled is in the coordinator's store, what a run has reached is in the
journal, and what a site has answered is in that site's ledger. A SuperLink that is killed takes with it the messages
that were under way: the conductor starts its Flower run anew and asks those sites again whose reply was not recorded,
and a site that has answered before answers with the same bytes, uncharged.
"""

from __future__ import annotations

import hashlib

from flwr.app import Message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate import linkstate_factory
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NodeStatus


class LinkStateInMemory(InMemoryLinkState):
    """Flower's own, but a node has the number that follows from its key, so that it goes on after a restart."""

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
            # Flower looks at every message of everybody anew; most questions are answered by a glance.
            if not any(message.metadata.dst_node_id == node_id for message in self.message_ins_store.values()):
                return []
            return super().get_message_ins(node_id, limit, run_id=run_id)


def node_number(public_key: bytes) -> int:
    """A node's number, 64 bits without a sign, from its key: two of a thousand share one with a chance of 3e-14."""
    number = int.from_bytes(hashlib.sha256(public_key.strip()).digest()[:8], "big")
    return number if number not in (0, SUPERLINK_NODE_ID) else number + 2


def use_memory() -> None:
    """Let Flower's factory make this state: it offers no interface for it, so that it is found by name."""
    vars(linkstate_factory)["InMemoryLinkState"] = LinkStateInMemory
