"""The site's node: the executor's question is held until a message is whole, and what flwr leaves behind is cleared."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from flwr.supercore.retry import RetryInvoker
from flwr.supernode import fleet_http_connection

from gaitkeeper_client.agent import node
from gaitkeeper_client.agent.supervisor import backed_off

SCOPE = {"type": "http", "path": "/v1/runtime/acquire-task", "method": "POST", "headers": []}


class Application:
    """Stands for flwr's Runtime API: counts what reaches it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a task"})


async def ask(gate: node.RuntimeGate, path: str = SCOPE["path"]) -> bytes:  # type: ignore[assignment]
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await gate({**SCOPE, "path": path}, None, send)
    assert sent[0]["status"] == 200
    return b"".join(message.get("body", b"") for message in sent)


def test_without_a_message_the_question_ends_empty_and_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_HOLD_S", 0.05)
    application = Application()
    assert asyncio.run(ask(node.RuntimeGate(application))) == b""
    assert application.paths == []


def test_a_message_lets_one_question_through() -> None:
    application = Application()

    async def story() -> list[bytes]:
        gate = node.RuntimeGate(application)
        await ask(gate, "/v1/runtime/pull-object")  # anything else passes at once
        held = asyncio.create_task(ask(gate))
        await asyncio.sleep(0.05)
        assert not held.done()
        await asyncio.to_thread(gate.ring)
        return [await asyncio.wait_for(held, 2)]

    assert asyncio.run(story()) == [b"a task"]
    assert application.paths == ["/v1/runtime/pull-object", SCOPE["path"]]


def test_the_pace_tells_connection_message_and_idleness_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(node.time, "sleep", slept.append)
    told: list[str] = []
    pace = node.PollPace(*(lambda word=word: told.append(word) for word in ("message", "connected", "idle")))
    pace.sleep(3)  # idle
    pace.sleep(0.5)  # a message came; flwr waits for the reply
    pace.sleep(0.5)
    pace.sleep(3)  # idle again: the question after a message is never held
    assert slept == [node._REPLY_POLL_S, node._REPLY_POLL_S]
    pace.sleep(3)  # and again at once: the coordinator does not hold questions
    assert told == ["connected", "idle", "message", "idle", "idle"]
    assert slept == [node._REPLY_POLL_S, node._REPLY_POLL_S, node._IDLE_POLL_S]


def test_a_message_right_after_another_reaches_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing between two messages tells the node that it waits for another reply than before."""
    now = 100.0
    monkeypatch.setattr(node.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(node.time, "monotonic", lambda: now)
    told: list[str] = []
    pace = node.PollPace(lambda: told.append("message"), lambda: None, lambda: None)
    pace.sleep(0.5)
    pace.sleep(0.5)
    assert told == ["message"]
    now += 2 * node._REMIND_S
    pace.sleep(0.5)
    assert told == ["message", "message"]


def persistent(monkeypatch: pytest.MonkeyPatch) -> RetryInvoker:
    """What the site's node tries with; flwr's own way is put back after the test."""
    name = "make_simple_http_retry_invoker"
    monkeypatch.setattr(fleet_http_connection, name, getattr(fleet_http_connection, name))
    node.try_for_ever()
    made: RetryInvoker = getattr(fleet_http_connection, name)()
    return made


@pytest.mark.parametrize(
    "why", ["_ssl.c:989: The handshake operation timed out", "[SSL] certificate verify failed", ""]
)
def test_a_reply_is_not_given_up_whatever_the_line_says_of_tls(
    why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    invoker = persistent(monkeypatch)
    invoker.wait_function = lambda _: None
    tries: list[str] = []

    def send(reply: str) -> str:
        tries.append(reply)
        if len(tries) < 4:
            raise httpx.ConnectTimeout(why)
        return "taken"

    assert invoker.invoke(send, "reply") == "taken"
    assert tries == ["reply"] * 4
    (said,) = (message for message in caplog.messages if "not reached" in message)
    assert said.endswith(why or "ConnectTimeout")


def test_what_the_coordinator_itself_refuses_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    invoker = persistent(monkeypatch)
    request = httpx.Request("POST", "https://coordinator")
    tries: list[int] = []

    def send() -> None:
        tries.append(1)
        raise httpx.HTTPStatusError("too large", request=request, response=httpx.Response(413, request=request))

    with pytest.raises(httpx.HTTPStatusError):
        invoker.invoke(send)
    assert len(tries) == 1


def test_who_is_not_answered_asks_ever_less_often_up_to_a_minute() -> None:
    assert [backed_off(failures) for failures in (1, 2, 3, 4, 5, 500)] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
