"""What lies in a SuperLink however many sites there are: orders once for all, replies until read, so many at a time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from flwr.app import Message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto
from flwr.proto import fleet_pb2, message_pb2, runtime_pb2
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes
from flwr.supercore.task_identity import TaskIdentity
from tests.unit.rounds_fixtures import SITES, weights
from tests.unit.superlink_fixtures import SuperLink, announced, signed_by

from gaitkeeper_server.rounds import link_state, quota
from gaitkeeper_server.rounds.bell import Bell
from gaitkeeper_server.rounds.link_state import LinkStateInMemory, node_number
from gaitkeeper_server.rounds.replies import ReplyGrid
from gaitkeeper_server.rounds.room import Room
from gaitkeeper_server.rounds.superlink import synchronise_nodes
from gaitkeeper_shared.federation import (
    RoundOrder,
    RoundReply,
    SiteReport,
    encode_order,
    encode_reply,
    for_site,
    to_wire,
)

ORDER = RoundOrder("hash", "run", 1, True, False)


class Caller:
    """Flower's client of one side of the SuperLink, without a connection."""

    def __init__(self, link: SuperLink, side: str, headers: Any) -> None:
        self._link, self._side, self._headers = link, side, headers

    def __getattr__(self, name: str) -> Any:
        path = f"/v1/{self._side}/" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
        kinds: Mapping[str, Any] = {**vars(message_pb2), **vars(fleet_pb2)}
        if self._side == "runtime":
            kinds = {**kinds, **{key.replace("App", ""): kind for key, kind in vars(runtime_pb2).items()}}

        def call(request: Any) -> Any:
            answer = self._link.ask(path, request.SerializeToString(), self._headers())
            assert answer is not None, path
            return kinds[f"{name}Response"].FromString(answer)

        return call


class Site:
    """A node that fetches its order and answers it, as Flower's does."""

    def __init__(self, link: SuperLink, name: str) -> None:
        self.name, self.key = name, generate_key_pairs()[0]
        self.public_key = public_key_to_bytes(self.key.public_key())
        self.node = Node(node_id=node_number(self.public_key))
        self.caller = Caller(link, "fleet", lambda: signed_by(self.key))

    def fetch(self) -> Message | None:
        """The order that waits for this node, taken with all that belongs to it."""
        said = self.caller.PullMessages(fleet_pb2.PullMessagesRequest(node=self.node))
        if not said.messages_list:
            return None
        order, run = message_from_proto(said.messages_list[0]), said.messages_list[0].metadata.run_id
        for item in quota.nodes_of(said.message_object_trees[0]):
            part = message_pb2.PullObjectRequest(node=self.node, run_id=run, object_id=item.object_id)
            assert self.caller.PullObject(part).object_available
        done = message_pb2.ConfirmMessageReceivedRequest(
            node=self.node, run_id=run, message_object_id=order.metadata.message_id
        )
        self.caller.ConfirmMessageReceived(done)
        return order

    def answer(self, order: Message) -> None:
        """Hand in a reply."""
        made = self.reply(order)
        objects = get_all_nested_objects(made)
        said = self.caller.PushMessages(announced(self.node.node_id, made))
        for item in said.objects_to_push:
            part = message_pb2.PushObjectRequest(
                node=self.node,
                run_id=order.metadata.run_id,
                object_id=item,
                object_content=objects[item].deflate(),
                session_id=said.session_id,
            )
            assert self.caller.PushObject(part).stored

    def reply(self, order: Message) -> Message:
        """An update of the site's own."""
        update = {name: array + SITES.index(self.name) for name, array in weights().items()}
        return Message(to_wire(encode_reply(RoundReply(SiteReport(self.name, "trained"), update))), reply_to=order)


class Stage:
    """A SuperLink with three sites, and a conductor's own grid, on which a run is under way."""

    def __init__(self) -> None:
        self.link = SuperLink()
        assert isinstance(self.link.state, LinkStateInMemory)
        self.state: LinkStateInMemory = self.link.state
        self.sites = [Site(self.link, name) for name in SITES]
        synchronise_nodes(self.state, self.link.keys, {site.name: site.public_key for site in self.sites})
        for site in self.sites:
            assert site.fetch() is None
        run = self.link.begin_run()
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run.number, SUPERLINK_NODE_ID, run.task
        self.grid = ReplyGrid("nowhere", insecure=True, token="x")
        caller = Caller(self.link, "runtime", lambda: {TASK_TOKEN_HEADER: run.token.encode()})
        vars(self.grid)["_client"] = caller
        self.grid.set_run(self.state.get_run_info(run_ids=[run.number])[0])

    def order(self, ttl: float = 60.0, *, masked: bool = False) -> list[str]:
        """The same order for everybody; in a masked round with something for each alone."""
        common = to_wire(encode_order(ORDER, weights()))
        contents = [for_site(common, b"for " + site.name.encode() if masked else b"", ()) for site in self.sites]
        messages = [
            Message(content, site.node.node_id, "train", ttl=ttl, group_id="1")
            for site, content in zip(self.sites, contents, strict=True)
        ]
        return list(self.grid.push_messages(messages))

    @property
    def store(self) -> Any:
        return self.state.object_store


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


def test_orders_are_one_and_a_round_that_was_read_leaves_nothing(stage: Stage) -> None:
    room = stage.state.places_for_replies()
    for masked in (False, True):
        assert not stage.state.has_order(stage.sites[0].public_key)
        orders = stage.order(masked=masked)
        assert stage.state.has_order(stage.sites[0].public_key)
        # The envelopes, and for all of them the same record with the weights; what is for one alone is two small ones.
        assert len(stage.store) == (3 * len(SITES) + 1 if masked else len(SITES) + 2)
        for site in stage.sites:
            order = site.fetch()
            assert order is not None
            assert site.fetch() is None
            site.answer(order)
        assert stage.state.places_for_replies() < room
        found = stage.grid.pull_messages(orders)
        assert Counter(item.metadata.reply_to_message_id for item in found) == Counter(orders)
        state = stage.state
        assert len(stage.store) == 0
        assert (state.message_ins_store, state.message_res_store, state._object_push_sessions) == ({}, {}, {})
        assert not any(state._undelivered.values())


def test_what_nobody_answers_in_time_goes_with_the_next_order(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_state, "_SWEEP_EVERY_S", -1.0)
    monkeypatch.setattr(quota, "_STALLED_S", -1.0)
    stage.order(ttl=1.0)
    asked, away, unread = (site.fetch() if site is not stage.sites[1] else None for site in stage.sites)
    assert asked is not None
    assert unread is not None
    assert away is None
    stage.sites[2].answer(unread)
    before = len(stage.store)
    monkeypatch.setattr(InMemoryLinkState, "_check_stored_messages", _later(3600.0))
    assert before > 3
    stage.state._sweep()
    assert len(stage.store) == 0
    assert (stage.state.message_ins_store, stage.state.message_res_store) == ({}, {})


def _later(seconds: float) -> Any:
    """Flower's look at what is too old, with a clock that is ahead."""
    module = vars(InMemoryLinkState)["_check_stored_messages"]

    def check(self: Any, message_ids: set[str], run_id: int | None = None) -> None:
        for message in self.message_ins_store.values():
            message.metadata.created_at -= seconds
        module(self, message_ids, run_id)

    return check


def test_as_many_replies_come_as_there_are_places(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "LEAST_PLACES", 1)
    monkeypatch.setattr(quota, "MOST_UNREAD_BYTES", 20_000)
    orders = stage.order()
    three = sum(len(entry.content) for entry in stage.store.store.values())
    places = stage.state.places_for_replies()
    assert 20_000 // three <= places <= 20_000 * len(SITES) // three
    first, second, _ = stage.sites
    fetched, kept, _ = (site.fetch() for site in stage.sites)
    assert fetched is not None
    assert kept is not None
    first.answer(fetched)
    assert stage.state.places_for_replies() == places - 1
    assert len(stage.grid.pull_messages(orders)) == 1
    assert stage.state.places_for_replies() == places
    # One that began, and of which nothing comes, keeps nobody waiting.
    said = second.caller.PushMessages(announced(second.node.node_id, second.reply(kept)))
    assert said.objects_to_push
    assert stage.state.places_for_replies() == places - 1
    monkeypatch.setattr(quota, "_STALLED_S", -1.0)
    assert stage.state.places_for_replies() == places


def test_sites_are_let_in_in_turn_and_never_more_than_there_are_places() -> None:
    async def story() -> None:
        lying, most, came = 0, 0, list[int]()

        async def hand_in(number: int) -> None:
            nonlocal lying, most
            assert await room.enter()
            came.append(number)
            lying += 1
            room.entered()
            most = max(most, lying)
            await asyncio.sleep(0)
            lying -= 1
            room.look()

        room = Room(lambda: 3 - lying)
        await asyncio.gather(*(hand_in(number) for number in range(50)))
        assert came == list(range(50))
        assert most == 3
        full = Room(lambda: 0, longest_wait_s=0.0)
        assert not await full.enter()
        gone = asyncio.create_task(Room(lambda: 0).enter())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(story())


def test_the_bell_wakes_those_whom_it_concerns() -> None:
    async def story() -> None:
        bell, woken, orders = Bell(30.0), list[str](), {"clinic-b"}

        async def ask(who: str) -> None:
            await bell.wait(who, lambda: who in orders)
            woken.append(who)

        await asyncio.gather(*(ask(name) for name in SITES))  # nobody is held the first time
        woken.clear()
        asking = [asyncio.create_task(ask(name)) for name in SITES]
        bell.expect("conductor", 2)
        bell.part("conductor")
        await asyncio.sleep(0.01)
        assert woken == []
        bell.part("conductor")
        await asyncio.sleep(0.01)
        assert woken == ["clinic-b"]
        bell.end()
        await asyncio.wait_for(asyncio.gather(*asking), 5.0)
        brief = Bell(0.0)
        await brief.wait("clinic-a")
        await brief.wait("clinic-a", lambda: False)

    asyncio.run(story())
