"""Signs of life for a task that is being worked on: again and again, whatever becomes of one, and none afterwards."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import httpx
import pytest

from gaitkeeper_shared import sign_of_life as module
from gaitkeeper_shared.sign_of_life import sign_of_life


class Away:
    """A client whose peer does not answer the first time."""

    def __init__(self) -> None:
        self.asked, self.answered = 0, threading.Event()

    def SendTaskHeartbeat(self, request: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            raise httpx.ConnectError("nobody listens")
        self.answered.set()


def test_a_sign_that_was_lost_is_followed_by_others_until_the_work_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_EVERY_S", 0.01)
    client = Away()
    with sign_of_life(cast(Any, client), logging.getLogger("test")):
        assert client.answered.wait(30.0)
    assert not any(thread.name == "sign-of-life" for thread in threading.enumerate())
    assert caplog.messages == ["no sign of life could be given: ConnectError"]
