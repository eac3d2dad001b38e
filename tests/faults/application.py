"""The ClientApp of the fault matrix: a real ledger, training that is made up, and misbehaviour where it is asked for.

``tests.faults.application:SITE`` is a site's application. Its folder, below ``FAULTS_FOLDER``, holds the ledger and the
wishes: a file ``wish-NAME-ROUND`` has the site send what ``_MISBEHAVIOUR`` names, once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from tests.faults.traps import Trap

from gaitkeeper_client.training.refusals import refusal
from gaitkeeper_client.training.replies import decode_reply as kept_reply
from gaitkeeper_client.training.replies import encode_reply as keep_reply
from gaitkeeper_client.vault.ledger import Charge, Ledger, RoundKey, StoredReply
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights, decode_order, encode_reply
from gaitkeeper_shared.privacy.accounting import Budget, Spend

DELTA = 1e-5
PATIENTS = ("p-1", "p-2")
SPEND, BUDGET = Spend(2.0, 0.5, 1), Budget(5.0, DELTA)


def step_of(site: str) -> float:
    """What a site adds to every weight in each round."""
    return 1.0 + "abcdefgh".index(site[-1])


def ledger_of(folder: Path) -> Ledger:
    """The ledger of a site's folder, with its witness elsewhere, as a site has it."""
    (folder / "ledger").mkdir(exist_ok=True)
    return Ledger(folder / "ledger" / "ledger.sqlite", witness=folder / "ledger.witness")


def _first(update: Weights, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Weights:
    name = next(iter(update))
    return {**update, name: change(update[name])}


def _with_value(value: float) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    def put(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        changed = array.copy()
        changed.flat[0] = value
        return changed

    return put


_Change = Callable[[RoundReply], RoundReply]


def _weights(change: Callable[[Weights], Weights]) -> _Change:
    return lambda reply: replace(reply, weights=change(reply.weights or {}))


_MISBEHAVIOUR: Mapping[str, _Change] = {
    "nan": _weights(lambda w: _first(w, _with_value(float("nan")))),
    "infinity": _weights(lambda w: _first(w, _with_value(float("inf")))),
    "shape": _weights(lambda w: _first(w, lambda a: a[:-1])),
    "dtype": _weights(lambda w: _first(w, lambda a: a.astype(np.float64))),
    "missing-array": _weights(lambda w: dict(list(w.items())[1:])),
    "further-array": _weights(lambda w: {**w, "further": np.zeros(3, np.float32)}),
    "norm": _weights(lambda w: _first(w, _with_value(1e9))),
    "oversized": _weights(lambda w: _first(w, lambda a: np.zeros((4096, 1024), np.float32))),
    "no-weights": lambda reply: replace(reply, weights=None),
    "other-name": lambda reply: replace(reply, report=replace(reply.report, site="clinic-b")),
    "other-delta": lambda reply: replace(reply, report=replace(reply.report, delta=1e-2)),
    "negative-epsilon": lambda reply: replace(reply, report=replace(reply.report, epsilon_spent=-1.0)),
}


class _Site:
    def __init__(self, name: str, folder: Path, traps: Path) -> None:
        self._name, self._folder, self._traps = name, folder, traps

    def answer(self, order: RoundOrder, weights: Weights) -> RoundReply:
        """One round, in the order of a real site: look up, charge, train, keep, send."""
        ledger = ledger_of(self._folder)
        key = RoundKey(order.study_hash, order.run, order.round)
        if (kept := ledger.reply(key)) is not None:
            return kept_reply(kept.body)
        self._pass("asked", order.round)
        ledger.charge(key, [Charge("train", PATIENTS, SPEND, BUDGET)])
        self._pass("charged", order.round)
        trained = {name: (a + step_of(self._name)).astype(a.dtype) for name, a in weights.items()}
        report = SiteReport(
            self._name, "trained", epsilon_spent=ledger.study_epsilon(order.study_hash, DELTA), delta=DELTA
        )
        stored = ledger.store_reply(key, StoredReply(keep_reply(RoundReply(report, trained)), b""))
        self._pass("stored", order.round)
        return kept_reply(stored.body)

    def _pass(self, moment: str, number: int) -> None:
        Trap(self._traps, self._name, moment, number).step_on()

    def wish(self, number: int) -> str | None:
        """What this site is to do wrong in this round, once."""
        for path in self._folder.glob(f"wish-*-{number}"):
            path.unlink()
            return path.name.removeprefix("wish-").removesuffix(f"-{number}")
        return None

    def note_message(self, message: Message) -> None:
        """Leave the numbers of the message that is answered and of its Flower run, for who wants to answer it again."""
        metadata = message.metadata
        (self._folder / "last-message").write_text(f"{metadata.message_id} {metadata.run_id}", "ascii")


def _forge(how: str) -> None:
    """Have the executor send the next reply's weights as bytes that are no arrays, as only a forger's would."""
    executor = vars(sys.modules["__main__"])
    pack = executor["to_wire"]

    def forged(content: RecordDict) -> RecordDict:
        executor["to_wire"] = pack
        packed = pack(content)
        (fields,) = packed.config_records.values()
        right = fields["weights"]
        fields["weights"] = os.urandom(200) if how == "garbage" else right[: len(right) - 7]
        return packed

    executor["to_wire"] = forged


def _application(name: str) -> ClientApp:
    root = Path(os.environ["FAULTS_FOLDER"])
    site = _Site(name, root / name, root / "traps")
    client = ClientApp()

    @client.train()
    def answer(message: Message, context: Context) -> Message:
        site.note_message(message)
        order, weights = decode_order(message.content)
        try:
            reply = site.answer(order, weights)
        except Exception as error:
            return Message(encode_reply(refusal(name, error)), reply_to=message)
        wish = site.wish(order.round)
        if wish in ("garbage", "cut-short"):
            _forge(wish)
            return Message(encode_reply(reply), reply_to=message)
        if wish == "crash":
            raise RuntimeError("made up")
        if wish is not None:
            reply = _MISBEHAVIOUR[wish](reply)
        return Message(encode_reply(reply), reply_to=message)

    return client


_applications = cache(_application)


def __getattr__(name: str) -> Any:
    if not name.startswith("clinic-"):
        raise AttributeError(name)
    return _applications(name)
