"""``gaitkeeper coordinator`` init, invite, sites and study: the consortium's foundations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_server.home import CoordinatorConfig, CoordinatorHome

Home = Annotated[
    Path | None,
    typer.Option(
        help="The coordinator's folder (default: GAITKEEPER_COORDINATOR_HOME, or the user's data folder).",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_ANY_PORT = "Another if that is taken; 0: a free one. What was chosen is kept in coordinator.toml."
EnrolmentPort = Annotated[
    int | None, typer.Option(min=0, max=65_535, help=f"Default: 7440. {_ANY_PORT}", show_default=False)
]
SitePort = Annotated[int | None, typer.Option(min=0, max=65_535, help="Default: 7441.", show_default=False)]
FleetPort = Annotated[int | None, typer.Option(min=0, max=65_535, help="Default: 7442.", show_default=False)]
ControlPort = Annotated[
    int | None, typer.Option(min=0, max=65_535, help="On this machine only. Default: 7443.", show_default=False)
]
_TOLD = "HOST:PORT that sites are told, where a proxy or a firewall leads from there to this service's port"
EnrolmentAddress = Annotated[str | None, typer.Option(metavar="HOST:PORT", help=f"{_TOLD}.", show_default=False)]
SiteAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The same for the sites' services.", show_default=False)
]
FleetAddress = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="The same for rounds.", show_default=False)]
Cosigners = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY", help="Public key of who signs beside the coordinator; may be given again.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    app.command()(init)
    app.command()(invite)
    app.command()(sites)
    app.command()(revoke)
    app.command()(audit)
    study = typer.Typer(help="Write and sign studies: what is learned, and at what price.", no_args_is_help=True)
    study.command("new")(study_new)
    study.command("sign")(study_sign)
    study.command("list")(study_list)
    app.add_typer(study, name="study")


def init(
    name: Annotated[str, typer.Option(help="The consortium's name.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address by which the sites reach this machine; may be given again.", show_default=False
        ),
    ] = None,
    home: Home = None,
    bind: Annotated[
        str | None, typer.Option(help="Local address to open the ports on (default: all).", show_default=False)
    ] = None,
    enrolment_port: EnrolmentPort = None,
    site_port: SitePort = None,
    fleet_port: FleetPort = None,
    control_port: ControlPort = None,
    enrolment_address: EnrolmentAddress = None,
    site_address: SiteAddress = None,
    fleet_address: FleetAddress = None,
    cosigner: Cosigners = None,
    signatures: Annotated[
        int | None,
        typer.Option(
            min=1, help="So many keys must sign a study or a release (default: 2 with co-signers).", show_default=False
        ),
    ] = None,
) -> None:
    """Found a consortium: its root certificate, its signing key, its settings."""
    from gaitkeeper_server.enrolment.setup import create_coordinator, root_fingerprint
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_shared.cosign.documents import key_from_text
    from gaitkeeper_shared.trust.certificates import spoken

    place = CoordinatorHome.resolve(home)
    keys = tuple(key_from_text(text) for text in cosigner or ())
    asked = {"enrolment": enrolment_port, "site": site_port, "fleet": fleet_port, "control": control_port}
    told = {"enrolment": enrolment_address, "site": site_address, "fleet": fleet_address}
    config = create_coordinator(
        place,
        name,
        tuple(host or ["127.0.0.1"]),
        bind=bind,
        ports={what: port for what, port in asked.items() if port is not None},
        addresses={what: address for what, address in told.items() if address is not None},
        cosigners=keys,
        threshold=signatures if signatures is not None else (2 if keys else 1),
    )
    _tell_founded(place, config, spoken(root_fingerprint(place)))


def _tell_founded(place: CoordinatorHome, config: CoordinatorConfig, fingerprint: str) -> None:
    typer.echo(f"Coordinator {config.name} is ready in {place.path}.")
    typer.echo(f"Sites must be able to reach {config.told_enrolment}, {config.told_site} and {config.told_fleet}.")
    typer.echo(f"Root fingerprint: {fingerprint}")
    if config.threshold > 1:
        every = len(config.consortium_keys) + 1
        typer.echo(f"Studies and releases need {config.threshold} signatures of {every} keys.")
    typer.echo(
        "Make a backup now, and lock it away: gaitkeeper coordinator backup FILE. Who has the keys can admit sites"
        " and sign in your name; lost ones cannot be made again."
    )


def invite(
    site: Annotated[str, typer.Argument(help="The site's name in the consortium, such as 'clinic-north'.")],
    home: Home = None,
    expires_hours: Annotated[float, typer.Option(min=0.01, max=24 * 90, help="How long it can be used.")] = 72.0,
    output: Annotated[
        Path | None, typer.Option(help="Where to write it (default: print it).", show_default=False)
    ] = None,
) -> None:
    """Invite a site: a file that works once, for it alone. Hand it over on a way that you trust."""
    from gaitkeeper_server.enrolment.invitations import invite as invite_site
    from gaitkeeper_shared.trust.certificates import spoken

    place = enter(home, "invite", site)
    if output is None:
        typer.echo(invite_site(place, site, hours=expires_hours).to_text(), nl=False)
        return
    with _new_file(output) as descriptor:
        letter = invite_site(place, site, hours=expires_hours)
        os.write(descriptor, letter.to_text().encode("utf-8"))
    typer.echo(f"Invitation of {site} in {output}: valid once, until {letter.expires_at[:16]} UTC. Keep it secret.")
    typer.echo(f"Compare over the telephone: {spoken(letter.fingerprint)}")


def sites(home: Home = None, as_json: AsJson = False) -> None:
    """List the sites: invited, enrolled, revoked, when last heard of."""
    from gaitkeeper_server.store import CoordinatorStore
    from gaitkeeper_shared.trust.certificates import read_certificate

    place = enter(home, "sites")
    rows = []
    for site in CoordinatorStore(place.store).sites():
        until = None
        if site.certificate is not None:
            expiry = read_certificate(site.certificate, what=f"The certificate of {site.name}").not_valid_after_utc
            until = f"{expiry:%Y-%m-%dT%H:%M:%SZ}"
        rows.append(
            {
                "name": site.name,
                "state": site.state,
                "invited_at": site.invited_at,
                "enrolled_at": site.enrolled_at,
                "certificate_until": until,
                "last_seen": site.last_seen,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo("No site was invited yet: gaitkeeper coordinator invite NAME")
    for row in rows:
        seen = f"last seen {row['last_seen'][:19]}Z" if row["last_seen"] else "never seen"
        until = f", certificate until {row['certificate_until'][:10]}" if row["certificate_until"] else ""
        typer.echo(f"{row['name']:<24} {row['state']:<9} {seen}{until}")


def revoke(
    site: Annotated[str, typer.Argument(help="The site's name.")],
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Shut a site out, at once. It can come back by a new invitation only."""
    from gaitkeeper_server.enrolment.invitations import revoke as revoke_site

    if not yes:
        typer.confirm(f"Shut out {site}?", abort=True)
    revoke_site(enter(home, "revoke", site), site)
    typer.echo(f"{site} is shut out.")


def audit(home: Home = None, as_json: AsJson = False) -> None:
    """Check the audit log and show its last entries."""
    from gaitkeeper_shared.trust.audit import AuditLog, show_audit

    show_audit(AuditLog(enter(home, "audit").audit_log), typer.echo, as_json=as_json)


def study_new(path: Annotated[Path, typer.Argument(help="The file to write, such as study.toml.")]) -> None:
    """Write a complete study, every key explained, to start from."""
    import re

    from gaitkeeper_server.enrolment.example import example_study

    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:63] or "study"
    with _new_file(path, mode=0o644) as descriptor:
        os.write(descriptor, example_study(name).encode("utf-8"))
    typer.echo(f"{path} is a complete study. Edit it, then: gaitkeeper coordinator study sign {path}")


def study_sign(path: Annotated[Path, typer.Argument(help="The study file.")], home: Home = None) -> None:
    """Check a study, sign it, and offer it to the sites. From then on it never changes."""
    from gaitkeeper_server.enrolment.studies import sign_study
    from gaitkeeper_shared.trust.signatures import signature_path

    signed = sign_study(enter(home, "study sign", path.name), path)
    typer.echo(f"Signed {signed.study.name} ({signed.hash[:12]}) in {signature_path(path)}; the sites can see it now.")


def study_list(home: Home = None, as_json: AsJson = False) -> None:
    """List the signed studies, and which sites approved them."""
    from gaitkeeper_server.store import CoordinatorStore

    store = CoordinatorStore(enter(home, "study list").store)
    rows = [
        {
            "name": study.name,
            "hash": study.hash,
            "signed_at": study.signed_at,
            "approved_by": [item.site for item in store.decisions(study.hash) if item.approved],
        }
        for study in store.studies()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo("No study was signed yet: gaitkeeper coordinator study new study.toml")
    for row in rows:
        approved = ", ".join(row["approved_by"]) or "nobody yet"
        typer.echo(
            f"{row['name']:<24} {str(row['hash'])[:12]}  signed {str(row['signed_at'])[:10]}  approved by {approved}"
        )


def _new_file(path: Path, *, mode: int = 0o600) -> _NewFile:
    return _NewFile(path, mode)


class _NewFile:
    """A file that must not exist yet; removed again where its content could not be made."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._descriptor = -1

    def __enter__(self) -> int:
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode)
        except FileExistsError as error:
            raise GaitkeeperError("file-exists", path=self._path) from error
        except OSError as error:
            raise GaitkeeperError("file-not-writable", path=self._path, detail=error.strerror) from error
        return self._descriptor

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        if kind is not None:
            self._path.unlink(missing_ok=True)
