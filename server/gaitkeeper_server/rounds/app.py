"""The Flower ServerApp: the same for the deployment and for a rehearsal on Flower's simulation engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaitkeeper_server.rounds.conductor import Conductor
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.roster import Roster, roster_of_names
from gaitkeeper_shared.secure.identity import Membership

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp


def make_server_app(
    journal: Journal,
    run: str,
    *,
    roster: Roster = roster_of_names,
    wire: bool = False,
    membership: Membership | None = None,
) -> ServerApp:
    """A ServerApp that conducts ``run``, which the journal holds with its study, its sites and its untrained weights.

    The outcome is in the journal.
    ``wire``: pack each message into one record, as between machines; the sites must run our executor.
    ``membership``: whose signatures count in masked rounds; without it, as in a rehearsal, updates are summed plainly.
    """
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        Conductor(grid, journal, run, roster=roster, wire=wire, membership=membership).conduct()

    return app
