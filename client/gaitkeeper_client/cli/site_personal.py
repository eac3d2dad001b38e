"""``gaitkeeper site`` personalise: a head of the site's own over the active release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import AsJson, Home
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper site``."""
    app.command()(personalise)


def personalise(
    home: Home = None,
    drop: Annotated[bool, typer.Option("--drop", help="Remove this site's own head; use the release's again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a head of this site's own over the active release, to its patients who agreed to training.

    It never leaves this site: it lies sealed in the vault, and 'site analyze' uses it, saying so in the report. It is
    kept only where patients whom it was not fitted to are judged better with it. A new release puts it out of use; a
    patient who is erased or withdraws, a recording past its time, or a new key of the site removes it. Run this again
    then. The study must allow it (model.personal = "head").
    """
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    told = _dropped(place) if drop else _fitted(place)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        typer.echo(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


def _dropped(home: SiteHome) -> dict[str, object]:
    from gaitkeeper_client.vault.personal import drop_head

    return {"dropped": drop_head(home, "the site asked for it")}


def _fitted(home: SiteHome) -> dict[str, object]:
    from datetime import UTC, datetime

    from gaitkeeper_client.consortium.release_store import active_release
    from gaitkeeper_client.consortium.studies import find_offer
    from gaitkeeper_client.training.home_runtime import HomeRuntime
    from gaitkeeper_client.training.personal import fit_head
    from gaitkeeper_client.vault.events import record
    from gaitkeeper_client.vault.keys import unlock
    from gaitkeeper_client.vault.personal import HeadFacts, PersonalHead, holdings, keep_head, sources_of
    from gaitkeeper_client.vault.retention import apply_retention, retention_policy
    from gaitkeeper_client.vault.store import Vault
    from gaitkeeper_shared.models.bundle import ModelBundle

    release = active_release(home)
    if release is None:
        raise GaitkeeperError("personal-no-release")
    study, key = find_offer(home, release.manifest.study_hash).study, unlock(home)
    runtime = HomeRuntime(home, key)
    with Vault.open(home, key) as vault:
        apply_retention(home, vault, retention_policy(home))
        held = holdings(vault)
        people = runtime.everybody(study)
        fitted = fit_head(ModelBundle.from_bytes(release.model), people)
        if fitted.better:
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            names = tuple(sorted(person.pseudonym for person in people))
            sources, before, after = sources_of(held, names), fitted.loss_before, fitted.loss_after
            facts = HeadFacts(release.manifest.model_sha256, names, moment, before, after, sources)
            keep_head(home, vault, PersonalHead(facts, fitted.weights))
    record(home, "personal-head-fitted", release=release.version, patients=len(people), kept=fitted.better)
    return {
        "release": release.version,
        "patients": len(people),
        "loss_of_the_release": fitted.loss_before,
        "loss_of_this_head": fitted.loss_after,
        "kept": fitted.better,
    }
