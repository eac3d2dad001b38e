"""``gaitkeeper site console``: the clinic's own pages and REST API, its users and its API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_client.cli.site_vault import Home

if TYPE_CHECKING:
    from gaitkeeper_client.console.database import Database
    from gaitkeeper_client.console.users import Users
    from gaitkeeper_client.vault.home import SiteHome

console_app = typer.Typer(
    add_completion=False, help="Pages and a REST API for this clinic's own people and programs, served on this machine."
)
user_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who may sign in at the console.")
key_app = typer.Typer(no_args_is_help=True, add_completion=False, help="Keys by which programs use the console's API.")
console_app.add_typer(user_app, name="user")
console_app.add_typer(key_app, name="key")
Roles = Annotated[
    list[str] | None, typer.Option("--role", help="clinician, it or auditor; may be given more than once.")
]


def register(app: typer.Typer) -> None:
    """Add this group of commands to ``gaitkeeper site``."""
    app.add_typer(console_app, name="console")


@console_app.callback(invoke_without_command=True)
def console(
    context: typer.Context,
    home: Home = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (by default 127.0.0.1: this machine alone).")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port (by default 8470).")] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE.pem", help="TLS certificate with its chain; needs --private-key.")
    ] = None,
    private_key: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="The certificate's key.")] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="TLS with a certificate that the console makes itself.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy in front (192.0.2.7 or 192.0.2.0/24) whose X-Forwarded-For is believed; may be repeated.",
        ),
    ] = None,
) -> None:
    """Serve the console until it is stopped. Settings stand in site.toml, table console; options go first.

    Add somebody who may sign in first: gaitkeeper site console user add NAME --role clinician
    """
    if context.invoked_subcommand is not None:
        return
    from gaitkeeper_client.console.context import Console
    from gaitkeeper_client.console.serve import serve
    from gaitkeeper_client.console.settings import console_settings
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import current_key, read_passphrase

    place = SiteHome.resolve(home)
    settings = console_settings(
        place,
        host=host,
        port=port,
        certificate=None if certificate is None else str(certificate.absolute()),
        private_key=None if private_key is None else str(private_key.absolute()),
        tls=tls,
        proxies=proxy or None,
    )
    sealed = place.config().key_mode == "passphrase"
    passphrase = read_passphrase("Passphrase of this site: ") if sealed else None
    serving = Console.of(place, current_key(place, passphrase), settings)
    serve(serving, lambda line: print(line, flush=True), passphrase=passphrase)


@user_app.command("add")
def user_add(
    name: Annotated[str, typer.Argument()],
    role: Roles = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only through the clinic's identity provider (site.toml, table oidc).")
    ] = False,
    home: Home = None,
) -> None:
    """Let somebody sign in. The password is asked for, or read from the file that GAITKEEPER_CONSOLE_PASSWORD_FILE
    names."""
    from gaitkeeper_client.console.rights import parse_roles

    place, users = _users(home)
    roles = parse_roles(role or ())
    user = users.add(name, None if no_password else _password(), roles)
    _record(place, "console-user-added", user=user.name, roles=",".join(user.roles))
    typer.echo(f"{user.name} may sign in as {', '.join(user.roles)}.")


@user_app.command("change")
def user_change(
    name: Annotated[str, typer.Argument()],
    role: Roles = None,
    password: Annotated[bool, typer.Option("--password", help="Set a new password.")] = False,
    disable: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Shut somebody out, or let in again.")
    ] = None,
    unbind: Annotated[
        bool, typer.Option("--unbind", help="Forget which person at the identity provider this is; the next one binds.")
    ] = False,
    home: Home = None,
) -> None:
    """Change roles or password, or shut somebody out; their sessions end at once."""
    from gaitkeeper_client.console.bindings import Bindings
    from gaitkeeper_client.console.rights import parse_roles

    place, users = _users(home)
    roles = parse_roles(role) if role else None
    users.change(
        name, password=_password() if password else None, roles=roles, enabled=None if disable is None else not disable
    )
    unbound = unbind and Bindings(_database(home)[1], users).release(name)
    facts: dict[str, str | bool | None] = {"roles": ",".join(roles or ()), "password": password, "disabled": disable}
    _record(place, "console-user-changed", user=name, **facts, unbound=unbound)
    typer.echo(f"{name} is changed; their sessions ended.")


@user_app.command("list")
def user_list(home: Home = None) -> None:
    """List who may sign in."""
    from gaitkeeper_client.console.bindings import Bindings

    _, users = _users(home)
    bound = Bindings(_database(home)[1], users).all()
    for user in users.all():
        shut = f"  shut out {user.disabled_at[:10]}" if user.disabled_at else ""
        who = f"  at the provider: {bound[user.name]}" if user.name in bound else ""
        typer.echo(f"{user.name}  {', '.join(user.roles)}{who}{shut}")


@key_app.command("add")
def key_add(
    name: Annotated[str, typer.Argument(help="What the key is for, such as 'camera-room'.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="upload, read or fhir; more than once.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="How long it is good for (by default: 365).")] = 365,
    home: Home = None,
) -> None:
    """Make an API key. It is shown once, now; what is kept cannot make it again."""
    from gaitkeeper_client.console.rights import parse_scopes
    from gaitkeeper_client.console.sessions import ApiKeys
    from gaitkeeper_shared.errors import GaitkeeperError
    from gaitkeeper_shared.printable import printable

    place, database = _database(home)
    scopes = parse_scopes(scope or ())
    label = name.strip()
    if not label or len(label) > 64 or printable(label) != label:
        raise GaitkeeperError("console-bad-user", name=name)
    text = ApiKeys(database).add(label, scopes, days)
    _record(place, "console-key-added", key=text.split("_")[1], name=label, scopes=",".join(scopes))
    typer.echo(text)


@key_app.command("list")
def key_list(home: Home = None) -> None:
    """List the API keys by id; their secrets are kept nowhere."""
    from gaitkeeper_client.console.sessions import ApiKeys

    _, database = _database(home)
    for key in ApiKeys(database).all():
        end = f"revoked {key.revoked_at[:10]}" if key.revoked_at else f"until {(key.expires_at or 'revoked')[:10]}"
        typer.echo(f"{key.id}  {key.name}  {', '.join(key.scopes)}  {end}")


@key_app.command("revoke")
def key_revoke(key: Annotated[str, typer.Argument(metavar="ID")], home: Home = None) -> None:
    """End an API key at once."""
    from gaitkeeper_client.console.sessions import ApiKeys

    place, database = _database(home)
    ApiKeys(database).revoke(key)
    _record(place, "console-key-revoked", key=key)
    typer.echo(f"The key {key} opens nothing any more.")


def _database(home: Path | None) -> tuple[SiteHome, Database]:
    from gaitkeeper_client.console.database import Database
    from gaitkeeper_client.vault.home import SiteHome

    place = SiteHome.resolve(home)
    place.config()
    return place, Database(place)


def _users(home: Path | None) -> tuple[SiteHome, Users]:
    from gaitkeeper_client.console.users import Users

    place, database = _database(home)
    return place, Users(database, b"")  # the secret is for the brake on guessing alone


def _password() -> str:
    from gaitkeeper_client.console.users import PASSWORD_FILE_VARIABLE
    from gaitkeeper_client.vault.keys import read_passphrase

    return read_passphrase("Password (at least 12 characters): ", confirm=True, variable=PASSWORD_FILE_VARIABLE)


def _record(place: SiteHome, event: str, **facts: str | bool | None) -> None:
    from gaitkeeper_client.vault.events import record

    record(place, event, **facts)
