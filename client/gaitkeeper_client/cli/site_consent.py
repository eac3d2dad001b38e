"""``gaitkeeper site`` consent and erase: what a patient decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home, opened_vault
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.consent import Purpose
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

Who = Annotated[str, typer.Argument(metavar="PATIENT", help="The clinic's identifier of a patient, or a pseudonym.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(consent)
    app.command()(erase)


def consent(
    patient: Who,
    home: Home = None,
    withdraw: Annotated[
        str | None, typer.Option(help="What the patient no longer agrees to: care, training, labels, with + between.")
    ] = None,
    give: Annotated[
        str | None, typer.Option(help="What the patient agrees to: care, training, labels, with + between.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show what is on record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Record what a patient agrees to. Without consent to training they are out of the next round.

    What is withdrawn here is not given back by any cohort.csv, only by --give. To remove a patient's data altogether:
    gaitkeeper site erase.
    """
    from gaitkeeper_client.vault.consent import words_for

    taken, added = _purposes(withdraw), _purposes(give)
    if taken & added or show == bool(taken or added):
        raise GaitkeeperError("consent-nothing-said")
    with opened_vault(home) as (place, vault):
        found = vault.named(patient)
        purposes = found.purposes
        if not show:
            purposes = _decide(place, vault, patient, taken, added)
    if as_json:
        typer.echo(
            json.dumps({"schema": "gaitkeeper.consent/1", "pseudonym": found.pseudonym, "allows": sorted(purposes)})
        )
        return
    typer.echo(f"{found.pseudonym}: {words_for(purposes)}")
    if "training" in taken:
        typer.echo("Out of every round from the next one on. What was learned before stays in the models,")
        typer.echo("within the bound of the privacy budget; 'gaitkeeper site budget' says what was spent.")


def erase(
    patient: Who,
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy a patient's key, and with it all that the vault holds of them. Cannot be undone.

    The privacy ledger keeps what was spent under their pseudonym. What a FHIR server got is taken back by the next
    'site exchange send' (a running site does so by itself); what else left is listed. Run it again if interrupted.
    """
    from dataclasses import asdict

    from gaitkeeper_client.cli.site_exchange import print_traces
    from gaitkeeper_client.exchange.traces import traces
    from gaitkeeper_client.vault.erasure import erase as run

    with opened_vault(home) as (place, vault):
        if not yes:
            typer.confirm(f"Destroy everything that this vault holds of {patient}?", abort=True)
        retracting = _retracting(place, vault, patient)
        done = run(place, vault, patient)
    left = traces(place, done.pseudonym)
    if as_json:
        table = {"pseudonym": done.pseudonym, "recordings": done.recordings, "documents": done.documents}
        more = {"backups": list(done.backups), "retracting": retracting, "left": [asdict(one) for one in left]}
        typer.echo(json.dumps({"schema": "gaitkeeper.erasure/1", **table, **more}))
        return
    words = (
        "was erased before; nothing of them is left"
        if done.again
        else f"is erased, with {done.recordings} recording(s) and {done.documents} document(s), such as reports"
    )
    typer.echo(f"{done.pseudonym} {words}. The ledger keeps what was spent.")
    if done.backups:
        typer.echo("These backups were made while the patient was here and still hold them; destroy them too:")
        for name in done.backups:
            typer.echo(f"  {name}")
    if retracting:
        typer.echo(f"{len(retracting)} report(s) wait in the outbox to be taken back at the FHIR server.")
    if left:
        typer.echo("This left the vault about them; what lies where it went has to be deleted there:")
        print_traces(left)
        typer.echo(f"The same list: gaitkeeper site exchange traces {done.pseudonym}")


def _retracting(place: SiteHome, vault: Vault, patient: str) -> tuple[str, ...]:
    """What is to be taken back at the FHIR server, queued; nothing of somebody who is erased already."""
    from gaitkeeper_client.exchange.retraction import retract_reports

    try:
        return retract_reports(place, vault, patient)
    except GaitkeeperError as error:
        if error.code != "vault-no-such-patient":
            raise
        return ()


def _decide(
    place: SiteHome, vault: Vault, patient: str, taken: frozenset[Purpose], added: frozenset[Purpose]
) -> frozenset[Purpose]:
    """Keep a decision, in the vault and in the audit log."""
    from gaitkeeper_client.vault.consent import Consent, words_for
    from gaitkeeper_client.vault.events import record
    from gaitkeeper_client.vault.personal import drop_stale_head

    found = vault.named(patient)
    before = found.facts.consent or Consent(found.purposes)
    now = before.after_giving(added).after_withdrawal(taken)
    # The log first: a decision that was recorded and then lost to a kill is seen there, and the command run again.
    record(place, "consent-changed", patient=found.pseudonym, allows=words_for(now.given))
    vault.set_consent(found.pseudonym, now)
    if drop_stale_head(place, vault):
        typer.echo(
            "This site's own head was fitted to them and is removed; 'gaitkeeper site personalise' fits another.",
            err=True,
        )
    return now.given


def _purposes(text: str | None) -> frozenset[Purpose]:
    from gaitkeeper_client.vault.consent import parse_purposes

    if text is None:
        return frozenset()
    try:
        return parse_purposes(text)
    except ValueError as error:
        raise GaitkeeperError("consent-bad-purpose", detail=error) from error
