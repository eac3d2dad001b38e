"""A Flower ClientApp that stands in for training: it adds one to every weight, and notes each round it was asked."""

from __future__ import annotations

import os
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from gaitkeeper_shared.federation import RoundReply, SiteReport, decode_order, encode_reply

app = ClientApp()


@app.train()
def add_one(message: Message, context: Context) -> Message:
    order, incoming = decode_order(message.content)
    site = os.environ["MADE_UP_SITE"]
    if folder := os.environ.get("MADE_UP_NOTES"):
        with (Path(folder) / f"{site}.txt").open("a", encoding="ascii") as notes:
            notes.write(f"{order.run} {order.round}\n")
    update = {name: (array + 1).astype(array.dtype) for name, array in incoming.items()} if order.train else None
    report = SiteReport(site, "trained" if order.train else "evaluated", epsilon_spent=0.5, delta=1e-5)
    return Message(encode_reply(RoundReply(report, update)), reply_to=message)
