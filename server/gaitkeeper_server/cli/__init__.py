"""``gaitkeeper coordinator``: everything that a consortium's coordinator does.

Modules here import heavy libraries inside functions: ``--help`` answers at once.
"""

from __future__ import annotations

import typer

from gaitkeeper_server.cli import doctor, models, pretrain, rehearse, releases, roles, rounds, setup, upkeep

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def coordinator() -> None:
    """Coordinate a consortium: sites, studies, rounds, model versions, releases."""


for part in (setup, rounds, models, releases, pretrain, rehearse, doctor, upkeep, roles):
    part.register(app)
