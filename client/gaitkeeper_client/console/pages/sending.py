"""Handing a report to the clinic's FHIR server: into the outbox, durably, and on its way at once where that answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse

from gaitkeeper_client.console.access import Posted, Served, needs
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.results import REPORT_ID, open_report
from gaitkeeper_client.console.rights import Principal
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.sending import queue, send_due
from gaitkeeper_client.exchange.server import fhir_server
from gaitkeeper_client.language.errors import message_of
from gaitkeeper_client.language.texts import say
from gaitkeeper_client.signing.kept import KeptReport
from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
Sender = Annotated[Principal, Depends(needs("patients", person=True))]


@router.post("/reports/{report_id}/send")
def send(
    console: Served, who: Sender, _: Posted, report_id: Annotated[str, Path(pattern=REPORT_ID)]
) -> RedirectResponse:
    """Queue a report; every signature is verified first, and again when it leaves. Raises as
    :func:`~gaitkeeper_client.console.results.open_report`, and ``fhir-no-server``."""
    report, _standing = open_report(console, report_id)
    queue(console.home, (report_id,))
    console.record("report-queued", who.name, patient=report.pseudonym, report=report_id, state=report.state)
    # What does not arrive now is sent by the running site, or by the next 'site exchange send'.
    return RedirectResponse(f"/reports/{report_id}", 303, background=BackgroundTask(_send, console))


def _send(console: Console) -> None:
    try:
        with console.vault() as vault:
            send_due(console.home, vault)
    except GaitkeeperError as error:
        if error.code != "exchange-running":  # then somebody else's run takes it along
            console.record("report-sending-failed", "console", code=error.code)


def record_words(console: Console, report: KeptReport) -> str:
    """How a report stands at the clinic's FHIR server, in words; empty where none is named."""
    try:
        server = fhir_server(console.home).url
        post = Outbox.of(console.home).find(report.id)
    except GaitkeeperError as error:
        return "" if error.code == "fhir-no-server" else message_of(error)
    if post is None:
        return say("decide.sent_never", server=server)
    when = datetime.fromtimestamp(post.ended_at or post.queued_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    state = "delivered_draft" if (post.state, report.state) == ("delivered", "draft") else post.state
    return say(f"decide.sent_{state}", server=server, when=when, why=post.message, attempts=post.attempts)
