"""``gaitkeeper site`` enrol, studies and approve: what a site agrees to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.consortium.studies import Offer, Offers


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(enrol)
    app.command()(studies)
    app.command()(approve)
    app.command()(audit)


def enrol(
    invitation: Annotated[Path, typer.Argument(help="The file that 'gaitkeeper coordinator invite' wrote.")],
    home: Home = None,
    again: Annotated[bool, typer.Option("--again", help="Replace an enrolment that is there, with new keys.")] = False,
) -> None:
    """Join a consortium: make this site's keys and fetch its certificate. Private keys stay here."""
    from gaitkeeper_client.consortium.enrol import enrol as enrol_site
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_shared.trust.certificates import spoken

    place = SiteHome.resolve(home)
    connection = enrol_site(place, invitation, again=again)
    typer.echo(f"Enrolled as {connection.site} with {connection.coordinator} ({connection.site_address}).")
    typer.echo(f"Its root's fingerprint, to compare over the telephone: {spoken(connection.root_sha256)}")
    typer.echo(
        f"Studies and releases count here with {connection.threshold} signature(s) of these key(s), from now on:"
    )
    for key in connection.consortium_keys:
        typer.echo(f"  {key}")
    typer.echo("Next: gaitkeeper site studies")


def studies(home: Home = None, as_json: AsJson = False) -> None:
    """List the studies that the coordinator offers, and which of them this site approved."""
    from gaitkeeper_client.consortium.studies import known_offers
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    failure = _fetch(place.path)
    offers = known_offers(place)
    if as_json:
        typer.echo(_as_json(offers, failure))
        return
    if failure is not None:
        typer.echo(f"The coordinator was not asked, this is what was fetched before. {failure}", err=True)
    for refusal in offers.refused:
        typer.secho(f"Refused: {refusal.name} [{refusal.code}] {refusal.message}", fg="red", err=True)
    if not offers.offers:
        typer.echo("No study is offered.")
    for offer in offers.offers:
        _show(offer)


def approve(
    study: Annotated[str, typer.Argument(help="The study's name, or 8 or more characters of its hash.")],
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the approval back instead.")] = False,
) -> None:
    """Agree that this site trains a study. Nothing is trained without it."""
    from gaitkeeper_client.agent.approval import check_approval
    from gaitkeeper_client.consortium import studies as at_site
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import unlock

    place = SiteHome.resolve(home)
    failure = _fetch(place.path)
    offer = at_site.find_offer(place, study)
    if withdraw:
        offer = at_site.withdraw(place, offer)
        typer.echo(f"Withdrawn: this site refuses {offer.study.name} from its next round on.")
    else:
        counts_leave = check_approval(place, lambda: unlock(place), offer)
        _show(offer if offer.approved_at is not None else replace(offer, counts_leave=counts_leave))
        if not yes and offer.approved_at is None:
            typer.confirm("Shall this site take part?", abort=True)
        offer = at_site.approve(place, offer, counts_leave=counts_leave)
        typer.echo(f"Approved: {offer.study.name} ({offer.hash[:12]}). 'gaitkeeper site start' takes part.")
    try:
        if failure is None:
            at_site.report_decision(place, offer)
    except GaitkeeperError as error:
        failure = error
    if failure is not None:
        typer.echo(f"The coordinator could not be told; nothing depends on that. {failure}", err=True)


def audit(home: Home = None, as_json: AsJson = False) -> None:
    """Check the audit log and show its last entries."""
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_shared.trust.audit import AuditLog, show_audit

    place = SiteHome.resolve(home)
    place.config()
    show_audit(AuditLog(place.audit_log), typer.echo, as_json=as_json)


def _fetch(path: Path) -> GaitkeeperError | None:
    """Fetch what is offered; the reason where the coordinator could not be asked."""
    from gaitkeeper_client.consortium.studies import fetch_offers
    from gaitkeeper_client.vault.home import SiteHome

    try:
        for refusal in fetch_offers(SiteHome(path)).refused:
            typer.secho(f"Refused: {refusal.name} [{refusal.code}] {refusal.message}", fg="red", err=True)
    except GaitkeeperError as error:
        if not error.code.startswith("rpc-"):
            raise
        return error
    return None


def _show(offer: Offer) -> None:
    from gaitkeeper_client.consortium.study_words import in_plain_words

    state = f"approved {offer.approved_at[:10]}" if offer.approved_at else "NOT approved"
    typer.secho(f"{offer.study.name}  ({offer.hash[:12]})  {state}", bold=True)
    for line in in_plain_words(offer.study, counts_leave=offer.counts_leave):
        typer.echo(f"  {line}")


def _as_json(offers: Offers, failure: GaitkeeperError | None) -> str:
    rows = [
        {
            "name": offer.study.name,
            "hash": offer.hash,
            "title": offer.study.title,
            "labels": list(offer.study.task.labels),
            "rounds": offer.study.training.rounds,
            "epsilon": offer.study.privacy.epsilon,
            "delta": offer.study.privacy.delta,
            "approved_at": offer.approved_at,
            "counts_leave": offer.counts_leave,
        }
        for offer in offers.offers
    ]
    refused = [{"name": item.name, "code": item.code, "message": item.message} for item in offers.refused]
    return json.dumps(
        {"studies": rows, "refused": refused, "coordinator": failure.code if failure else "reached"}, indent=2
    )
