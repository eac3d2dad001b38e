"""Posting reports to the clinic's FHIR server: one transaction each, verified TLS, deadlines, retries with jitter.

Delivered is what the server itself said it stored, entry by entry: a sign-in page that answers 200 is not. What fails
for the connection's or the server's sake is tried again without end; what the server cannot accept as it is (400, 413,
422) is kept as refused for a person to look at.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gaitkeeper_client.exchange.fhir import MEDIA_TYPE, FhirDocument
from gaitkeeper_client.exchange.outbox import Outbox, Post
from gaitkeeper_client.exchange.retraction import retraction
from gaitkeeper_client.exchange.server import FhirServer
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable

if TYPE_CHECKING:
    import httpx

REQUEST_S = 60.0
CONNECT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 3600.0
MOST_ANSWER_BYTES = 8 * 1024 * 1024
_NEVER = {400, 413, 422}
"""The server understood, and will not have this report."""
_GONE = {"report-unknown", "document-missing", "consent-missing"}
_OURS = ("report-", "signature-", "envelope-", "document-", "consent-", "recording-", "fhir-invalid")
"""What is wrong with one report, and keeps no other from being sent."""

Content = Callable[[str], FhirDocument]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one run did: reports delivered, put off, refused (by the server, or as damaged here), no longer there, and
    taken back.

    ``message``: what went wrong last, empty where nothing did.
    """

    delivered: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retracted: tuple[str, ...] = ()
    message: str = ""


class _LaterError(Exception):
    """Not now. ``wait_s``: what the server asked for; ``unreachable``: others would fare no better."""

    def __init__(self, message: str, wait_s: float = 0.0, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.unreachable = unreachable


class _RefusedError(Exception):
    """Never, as it is."""


def deliver(
    outbox: Outbox,
    server: FhirServer,
    content: Content,
    *,
    still_kept: Callable[[str], bool] = lambda _: False,
    clock: Callable[[], float] = time.time,
    jitter: random.Random | None = None,
) -> Delivery:
    """Post what is due. ``content`` gives the document of a report; it may raise ``report-unknown``. ``still_kept``:
    whether the vault has a report that is to be retracted, so that its patient's erasure did not come to its end.

    Call it in one process at a time. Raises ``fhir-token-unreadable``, ``fhir-ca-unreadable`` or ``outbox-*``: then
    nothing was changed.
    """
    drawn = jitter or random.Random()  # noqa: S311 - spreads retries, protects nothing
    done: dict[str, list[str]] = {"delivered": [], "later": [], "refused": [], "gone": [], "retracted": []}
    message = ""
    posts = outbox.due(clock())
    if not posts:
        return Delivery()
    with _client(server) as client:
        for post in posts:
            try:
                document = _document(post, content, still_kept)
                outbox.leaves(post)
                _post(client, server, document)
            except GaitkeeperError as error:
                if not error.code.startswith(_OURS):
                    raise
                state: Literal["gone", "refused"] = "gone" if error.code in _GONE else "refused"
                message = error.message
                outbox.end(post, state, clock(), message)
                done[state].append(post.report)
            except _RefusedError as error:
                message = str(error)
                outbox.end(post, "refused", clock(), message)
                done["refused"].append(post.report)
            except _LaterError as error:
                message = str(error)
                outbox.later(post, clock() + max(error.wait_s, _wait(post, drawn)), message)
                done["later"].append(post.report)
                if error.unreachable:
                    break
            else:
                ending: Literal["delivered", "retracted"] = "delivered" if post.kind == "report" else "retracted"
                outbox.end(post, ending, clock())
                done[ending].append(post.report)
    return Delivery(**{name: tuple(reports) for name, reports in done.items()}, message=message)


def _document(post: Post, content: Content, still_kept: Callable[[str], bool]) -> FhirDocument:
    if post.kind == "report":
        return content(post.report)
    if still_kept(post.report):
        raise _LaterError("Its patient's erasure was interrupted: run 'gaitkeeper site erase' again.")
    return retraction(post.report, post.parts)


def _wait(post: Post, jitter: random.Random) -> float:
    """Doubled with every attempt, between half of it and all of it."""
    full = min(FIRST_WAIT_S * 2.0 ** min(post.attempts, 20), LONGEST_WAIT_S)
    return full * jitter.uniform(0.5, 1.0)


def _client(server: FhirServer) -> httpx.Client:
    import httpx

    try:
        verify = ssl.create_default_context(cafile=None if server.ca_file is None else str(server.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise GaitkeeperError("fhir-ca-unreadable", path=server.ca_file, detail=error) from error
    token = server.token()
    headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # No proxy and no password file from the environment: only the address that the operator named.
    return httpx.Client(
        verify=verify,
        headers=headers,
        timeout=httpx.Timeout(REQUEST_S, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
    )


def _post(client: httpx.Client, server: FhirServer, document: FhirDocument) -> None:
    import httpx

    begun = time.monotonic()
    answer = bytearray()
    try:
        with client.stream("POST", server.url, content=document.data) as response:
            for chunk in response.iter_bytes():
                answer += chunk
                # The client's own deadline is one of silence: a server may also drip.
                if time.monotonic() - begun > REQUEST_S or len(answer) > MOST_ANSWER_BYTES:
                    raise _LaterError("The server's answer has no end.")
    except httpx.HTTPError as error:
        name = type(error).__name__
        raise _LaterError(f"{printable(str(error), 200) or name} ({name})", unreachable=True) from error
    if response.is_success:
        _check_stored(bytes(answer), len(json.loads(document.data)["entry"]))
        return
    said = _outcome(bytes(answer))
    text = f"The server answered {response.status_code}{f': {said}' if said else '.'}"
    if response.status_code in _NEVER:
        raise _RefusedError(text)
    if response.status_code in (401, 403):
        text += " Check the token and what it may do."
    raise _LaterError(text, _asked_wait(response.headers.get("Retry-After", "")))


def _asked_wait(text: str) -> float:
    """``Retry-After`` in seconds; a date is not worth the trouble."""
    return min(float(text), LONGEST_WAIT_S) if text.isascii() and text.isdigit() else 0.0


def _check_stored(answer: bytes, entries: int) -> None:
    """Whether a transaction's answer says of every entry that it was stored."""
    try:
        table = json.loads(answer)
        if (table["resourceType"], table["type"]) != ("Bundle", "transaction-response"):
            raise ValueError
        stored = [str(entry["response"]["status"]).startswith("2") for entry in table["entry"]]
    except (ValueError, KeyError, TypeError) as error:
        raise _LaterError("What answered is no FHIR server: it did not say what it stored.") from error
    if len(stored) != entries or not all(stored):
        raise _LaterError(f"The server says that it stored {sum(stored)} of {entries} parts.")


def _outcome(answer: bytes) -> str:
    """What an OperationOutcome says, on one line."""
    try:
        issues = json.loads(answer)["issue"]
        texts = [str(one.get("diagnostics") or one.get("details", {}).get("text") or one["code"]) for one in issues]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return printable("; ".join(texts), 300)
