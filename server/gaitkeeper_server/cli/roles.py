"""``gaitkeeper coordinator role``: who may do what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.setup import AsJson, Home
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_server.persons.roles import Role

User = Annotated[str, typer.Argument(help="A user of this machine, as 'id -un' tells it.")]
_ROLES = "owner, operator, release-manager or viewer"


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    role = typer.Typer(help="Say who may do what at this coordinator (docs/operations.md).", no_args_is_help=True)
    role.command("grant")(grant)
    role.command("withdraw")(withdraw)
    role.command("list")(list_roles)
    app.add_typer(role, name="role")


def grant(
    user: User,
    role: Annotated[str, typer.Argument(help=f"{_ROLES}.", metavar="ROLE")],
    home: Home = None,
) -> None:
    """Give a user of this machine a role. From the first one on, who has none is refused.

    People with a role give commands as the user whom the coordinator's folder belongs to: sudo -u THAT-USER gaitkeeper
    coordinator ... . That user itself, and root, may do everything.
    """
    from gaitkeeper_server.persons.roles import grant as give

    wanted = _role(role)
    given = give(enter(home, "role grant", f"{user} {wanted}"), user, wanted)
    typer.echo(f"{given.person} (uid {given.uid}) is {given.role} from now on.")


def withdraw(
    user: User,
    role: Annotated[str | None, typer.Argument(help=f"{_ROLES} (default: every role).", metavar="ROLE")] = None,
    home: Home = None,
) -> None:
    """Take a role from a user, or all of them. Works from the next command on."""
    from gaitkeeper_server.persons.roles import withdraw as take

    wanted = None if role is None else _role(role)
    taken = take(enter(home, "role withdraw", f"{user} {wanted or ''}".strip()), user, wanted)
    typer.echo(f"{user} is no longer {', '.join(taken)}.")


def list_roles(home: Home = None, as_json: AsJson = False) -> None:
    """List who has which role."""
    from gaitkeeper_server.persons.roles import stale
    from gaitkeeper_server.store import CoordinatorStore

    grants = CoordinatorStore(enter(home, "role list").store).grants()
    now = [item for item in grants if item.withdrawn_at is None]
    gone = stale(grants)
    if as_json:
        rows = [
            {
                "person": item.person,
                "uid": item.uid,
                "role": item.role,
                "granted_at": item.granted_at,
                "lets_in": item not in gone,
            }
            for item in now
        ]
        typer.echo(json.dumps({"schema": "gaitkeeper.coordinator-roles/1", "set_up": bool(grants), "roles": rows}))
        return
    if not grants:
        typer.echo("No role was given: whoever may enter the coordinator's folder may do everything.")
    elif not now:
        typer.echo("Every role was withdrawn: only the folder's own user and root may do anything.")
    for item in now:
        note = "  (no such user any more: lets nobody in)" if item in gone else ""
        typer.echo(f"{item.person:<24} {item.role:<16} since {item.granted_at[:10]}{note}")


def _role(text: str) -> Role:
    from gaitkeeper_server.persons.roles import Role

    try:
        return Role(text)
    except ValueError as error:
        raise GaitkeeperError("role-unknown", role=text[:64], roles=_ROLES) from error
