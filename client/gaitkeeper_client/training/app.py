"""The Flower ClientApp that a site has installed: one message a round in, one reply out, and never an exception."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.training.refusals import refusal
from gaitkeeper_client.training.site_round import SiteRuntime, run_round
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.federation import RoundReply, beside_of, decode_order, encode_reply
from gaitkeeper_shared.secure.messages import decode_request, encode_stage_reply, is_stage

if TYPE_CHECKING:
    from collections.abc import Callable


def make_client_app(
    runtime_of: Callable[[Context, str], SiteRuntime], masking_of: Callable[[], SiteMasking] | None = None
) -> ClientApp:
    """A ClientApp over a runtime; the deployment's and a rehearsal's differ in the runtime and in masking only.

    ``runtime_of``: the site's runtime for a node's context and the name of the run that a message belongs to.
    ``masking_of``: the site's part in masked rounds; none in a rehearsal, which sums plainly.
    """
    client = ClientApp()

    @client.train()
    def answer_round(message: Message, context: Context) -> Message:
        masking = None if masking_of is None else masking_of()
        return reply_to(message, partial(runtime_of, context), masking)

    return client


def reply_to(message: Message, runtime_of: Callable[[str], SiteRuntime], masking: SiteMasking | None) -> Message:
    """The reply to any message of a run: an order, or a stage of a masked round."""
    if masking is None or not is_stage(message.content):
        return Message(encode_reply(answer(message, runtime_of, masking)), reply_to=message)
    try:
        stage, request = decode_request(message.content)
        staged = masking.answer(runtime_of(request.place.run), stage, request)
    except Exception as error:
        # A stage that cannot be read is answered as any order: by a refusal, which the coordinator can read.
        return Message(encode_reply(RoundReply(refusal("", error).report)), reply_to=message)
    return Message(encode_stage_reply(stage, staged), reply_to=message)


def answer(
    message: Message, runtime_of: Callable[[str], SiteRuntime], masking: SiteMasking | None = None
) -> RoundReply:
    """The reply to a round's message. Whatever goes wrong becomes a refusal, without a word of data.

    What fails before the site's home could be read is refused without the site's name.
    """
    site = ""
    try:
        order, weights = decode_order(message.content)
        runtime = runtime_of(order.run)
        site = runtime.site
        if masking is not None and (beside := beside_of(message.content)):
            return masking.run_masked(runtime, order, weights, beside)
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


@lru_cache(maxsize=1)
def _masking_at(home: SiteHome) -> SiteMasking:
    from gaitkeeper_client.training.peers import masking_of_home

    return masking_of_home(home)


def site_masking() -> SiteMasking:
    """This site's part in masked rounds; one for the life of the process, as attempts are in memory."""
    return _masking_at(SiteHome.resolve())


app = make_client_app(site_runtime, site_masking)
