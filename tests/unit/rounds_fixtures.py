"""A study, weights and a scripted Flower grid for tests of the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Error, Message
from flwr.supercore.task_identity import TaskIdentity

from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights, decode_order, encode_reply

STUDY = b"""
name = "rounds"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left"]
[training]
rounds = 3
[privacy]
epsilon = 5.0
delta = 1e-5
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
[federation]
quorum = 2
deadline_s = 0.6
"""
SITES = ("clinic-a", "clinic-b", "clinic-c")


def weights(value: float = 0.0) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Two arrays of a made-up model."""
    return {"layer.weight": np.full((4, 3), value, np.float32), "bias": np.full(3, value, np.float32)}


Answer = Callable[[str, RoundOrder, Weights], RoundReply | Error | None]
"""What a site answers to an order; None is silence."""


def add_one(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
    """A well-behaved site: its update is the incoming model plus a number of its own."""
    step = 1.0 + SITES.index(site) / 3
    status = "trained" if order.train else "evaluated"
    update = {name: (array + step).astype(array.dtype) for name, array in incoming.items()} if order.train else None
    metrics = {"evaluated": 10.0, "correct": 7.0, "noise_std": 0.5} if order.evaluate else {}
    return RoundReply(SiteReport(site, status, epsilon_spent=0.5 * order.round, delta=1e-5), update, metrics)


@dataclass
class ScriptedGrid:
    """A Flower grid whose sites answer as told. ``asked`` lists every order by site and round."""

    answer: Answer
    present: dict[str, Presence] = field(
        default_factory=lambda: {site: Presence(number + 10, "t0") for number, site in enumerate(SITES)}
    )
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: dict[tuple[str, int], Weights] = field(default_factory=dict)
    """The weights of every order."""
    delay_s: float = 0.0
    """How long an answer is under way."""
    fail_after_pushes: int | None = None
    _replies: dict[str, Message] = field(default_factory=dict)
    _ready_at: float = 0.0
    _count: int = 0

    def __post_init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def roster(self, grid: Any) -> Mapping[str, Presence]:
        """Who is there now."""
        return dict(self.present)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Take orders and prepare the answers."""
        ids = []
        names = {presence.node_id: site for site, presence in self.present.items()}
        for message in messages:
            if self.fail_after_pushes is not None and self._count >= self.fail_after_pushes:
                raise ConnectionError("the SuperLink is gone")
            self._count += 1
            message_id = f"m{self._count}"
            message.metadata.__dict__["_message_id"] = message_id
            site = names[message.metadata.dst_node_id]
            order, incoming = decode_order(message.content)
            self.asked.append((site, order.round))
            self.sent[site, order.round] = incoming
            reply = self.answer(site, order, incoming)
            if isinstance(reply, Error):
                self._replies[message_id] = Message(reply, reply_to=message)
            elif reply is not None:
                self._replies[message_id] = Message(encode_reply(reply), reply_to=message)
            ids.append(message_id)
        self._ready_at = time.monotonic() + self.delay_s
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The answers that are there."""
        if time.monotonic() < self._ready_at:
            return []
        return [self._replies.pop(item) for item in message_ids if item in self._replies]


@dataclass
class LazyGrid:
    """A grid of many sites that makes a reply when it is asked for it, a few at a time: it holds no update itself."""

    sites: tuple[str, ...]
    at_once: int = 8
    _asked: dict[str, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def roster(self, grid: Any) -> Mapping[str, Presence]:
        """Everybody is there."""
        return {site: Presence(number + 10, "t0") for number, site in enumerate(self.sites)}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Take orders."""
        ids = []
        for message in messages:
            message_id = f"m{message.metadata.dst_node_id}"
            message.metadata.__dict__["_message_id"] = message_id
            self._asked[message_id] = message
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The next few answers: one is added to every weight."""
        replies = []
        for message_id in list(message_ids)[: self.at_once]:
            message = self._asked.pop(message_id)
            _, incoming = decode_order(message.content)
            report = SiteReport(self.sites[message.metadata.dst_node_id - 10], "trained", epsilon_spent=0.5, delta=1e-5)
            update = {name: (array + 1).astype(array.dtype) for name, array in incoming.items()}
            replies.append(Message(encode_reply(RoundReply(report, update)), reply_to=message))
        return replies
