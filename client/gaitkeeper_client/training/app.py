"""The Flower ClientApp that a site has installed: one message a round in, one reply out, and never an exception."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from gaitkeeper_client.training.refusals import refusal
from gaitkeeper_client.training.site_round import SiteRuntime, run_round
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.federation import RoundReply, decode_order, encode_reply

if TYPE_CHECKING:
    from collections.abc import Callable


def make_client_app(runtime_of: Callable[[Context, str], SiteRuntime]) -> ClientApp:
    """A ClientApp over a runtime; the deployment's and a rehearsal's differ in the runtime only.

    ``runtime_of``: the site's runtime for a node's context and the name of the run that a message belongs to.
    """
    client = ClientApp()

    @client.train()
    def answer_round(message: Message, context: Context) -> Message:
        return Message(encode_reply(answer(message, partial(runtime_of, context))), reply_to=message)

    return client


def answer(message: Message, runtime_of: Callable[[str], SiteRuntime]) -> RoundReply:
    """The reply to a round's message. Whatever goes wrong becomes a refusal, without a word of data.

    What fails before the site's home could be read is refused without the site's name.
    """
    site = ""
    try:
        order, weights = decode_order(message.content)
        runtime = runtime_of(order.run)
        site = runtime.site
        return run_round(runtime, order, weights)
    except Exception as error:
        return refusal(site, error)


@lru_cache(maxsize=1)
def _runtime_at(home: SiteHome) -> SiteRuntime:
    from gaitkeeper_client.training.home_runtime import HomeRuntime

    return HomeRuntime(home)


def site_runtime(_context: Context | None = None, _run: str = "") -> SiteRuntime:
    """The runtime of this process' site; opened once, so that the vault is decrypted once and not every round."""
    return _runtime_at(SiteHome.resolve())


app = make_client_app(site_runtime)
