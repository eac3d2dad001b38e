"""``gaitkeeper site``: everything that hospital IT does."""

from __future__ import annotations

import typer

from gaitkeeper_client.cli import (
    site_analyze,
    site_budget,
    site_certify,
    site_clinician,
    site_consent,
    site_console,
    site_doctor,
    site_exchange,
    site_followup,
    site_personal,
    site_policy,
    site_report,
    site_run,
    site_trust,
    site_upkeep,
    site_vault,
    site_watch,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def site() -> None:
    """Run a clinic's site: its vault, its studies, its training, its released model."""


for part in (
    site_vault,
    site_consent,
    site_upkeep,
    site_trust,
    site_policy,
    site_run,
    site_budget,
    site_doctor,
    site_analyze,
    site_personal,
    site_report,
    site_clinician,
    site_followup,
    site_certify,
    site_exchange,
    site_console,
    site_watch,
):
    part.register(app)
