"""``gaitkeeper coordinator doctor``: everything that stops a coordinator from working, with what to do about it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable
from datetime import timedelta

from gaitkeeper_server.daemon import is_running, journal_path
from gaitkeeper_server.home import CoordinatorConfig, CoordinatorHome
from gaitkeeper_server.open_files import SUPERLINK_FILES, most_open_files
from gaitkeeper_shared.doctor import (
    CONNECT_S,
    Check,
    Finding,
    check_audit,
    check_certificate,
    check_disk,
    check_owner,
    check_private,
    check_versions,
    examine,
)
from gaitkeeper_shared.printable import without_credentials
from gaitkeeper_shared.trust.clock import Clock, from_iso, utc_now

_SILENT_AFTER = timedelta(days=2)
_SITE_RENEWED_BY = timedelta(days=50)


def diagnose(home: CoordinatorHome, *, clock: Clock = utc_now) -> tuple[Finding, ...]:
    """Look at everything. Raises ``coordinator-missing``, ``coordinator-config`` or ``ports-equal`` only."""
    config = home.config()
    checks: list[tuple[str, Check]] = [
        ("versions", check_versions),
        ("disk", lambda: check_disk(home.path)),
        ("keys", lambda: check_private(home.keys)),
        ("files", lambda: check_owner(home.path)),
        ("roles", lambda: _roles(home)),
        ("audit log", lambda: check_audit(home.audit_log, clock())),
        ("journal", lambda: _journal(home)),
        ("certificates", lambda: _certificates(home, clock)),
        ("names", lambda: _names(config)),
        ("ports", lambda: _ports(home, config)),
        ("open files", lambda: _open_files(home)),
        ("model registry", lambda: _registry(home)),
        ("sites", lambda: _sites(home, clock)),
    ]
    return examine(checks)


def _roles(home: CoordinatorHome) -> Iterable[Finding]:
    from gaitkeeper_server.persons.roles import Role, stale
    from gaitkeeper_server.store import CoordinatorStore

    grants = CoordinatorStore(home.store).grants()
    if not grants:
        yield Finding("roles", "well", "none given: whoever may enter the folder may do everything")
        return
    gone = stale(grants)
    for item in gone:
        remedy = f"gaitkeeper coordinator role withdraw {item.person}, or role grant anew if it is the same person."
        yield Finding("roles", "warning", f"{item.person} (uid {item.uid}) is no user here: not let in", remedy)
    counts = {role: sum(g.role == role and g.withdrawn_at is None and g not in gone for g in grants) for role in Role}
    yield Finding("roles", "well", ", ".join(f"{count} {role}" for role, count in counts.items()))


def _journal(home: CoordinatorHome) -> Iterable[Finding]:
    from gaitkeeper_server.rounds.journal import Journal

    if not journal_path(home).exists():
        yield Finding("journal", "well", "no run yet")
        return
    runs = Journal(journal_path(home)).runs()
    yield Finding("journal", "well", f"{len(runs)} runs")


def _certificates(home: CoordinatorHome, clock: Clock) -> Iterable[Finding]:
    from gaitkeeper_shared.trust.certificates import load_certificate

    home.authority()  # the root's key is there and fits
    home.signer()
    root, server = load_certificate(home.root_certificate), load_certificate(home.server_certificate)
    yield check_certificate(
        "root",
        root.not_valid_before_utc,
        root.not_valid_after_utc,
        clock(),
        renews=timedelta(days=365),
        remedy="Plan a new root in time: every site has to enrol again with it.",
    )
    life = server.not_valid_after_utc - server.not_valid_before_utc
    yield check_certificate(
        "server certificate",
        server.not_valid_before_utc,
        server.not_valid_after_utc,
        clock(),
        renews=life / 4,
        remedy="Start the service again: it renews its certificate as it starts.",
    )


def _names(config: CoordinatorConfig) -> Iterable[Finding]:
    for host in config.names:
        try:
            socket.getaddrinfo(host, None)
            yield Finding("names", "well", f"{host} is known here; sites must know it too")
        except OSError as error:
            remedy = "Enter it into the DNS that the sites use, or change hosts in coordinator.toml and start again."
            yield Finding("names", "ill", f"{host} is not known: {error.strerror or error}", remedy)


def _ports(home: CoordinatorHome, config: CoordinatorConfig) -> Iterable[Finding]:
    running = is_running(home)
    if not running:
        remedy = "gaitkeeper coordinator start, or systemctl start gaitkeeper-coordinator"
        yield Finding("service", "warning", "not running: no site can reach it", remedy)
    ports = {"enrolment": config.enrolment_port, "site": config.site_port, "fleet": config.fleet_port}
    host = "127.0.0.1" if config.bind in ("0.0.0.0", "::", "") else config.bind.strip("[]")  # noqa: S104 - compared
    for name, port in ports.items():
        try:
            with socket.create_connection((host, port), timeout=CONNECT_S):
                answers = True
        except OSError:
            answers = False
        what = f"{name} port"
        if answers == running:
            yield Finding(what, "well", f"{port} {'answers' if answers else 'is free'}")
        elif answers:
            remedy = f"Find who holds it (ss -ltnp | grep :{port}), or choose another in {home.config_file}."
            yield Finding(what, "ill", f"{port} is held by another program", remedy)
        else:
            yield Finding(what, "ill", f"{port} does not answer though the service runs", f"See {home.logs}.")


def _open_files(home: CoordinatorHome) -> Iterable[Finding]:
    """Those of the running service, whose bound need not be that of this shell."""
    pid = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if is_running(home):
            pid = int(json.loads((home.run / "coordinator.json").read_bytes())["pid"])
    most = most_open_files(pid)
    if most is None or most >= SUPERLINK_FILES:
        yield Finding("open files", "well", f"at least {SUPERLINK_FILES} may be open" if most else "no bound is known")
        return
    remedy = f"Raise the hard limit: in the service's unit LimitNOFILE={SUPERLINK_FILES}, in a shell ulimit -Hn."
    found = f"no more than {most} may be open: each site needs up to four connections"
    yield Finding("open files", "warning", found, remedy)


def _registry(home: CoordinatorHome) -> Iterable[Finding]:
    from gaitkeeper_server.registry import Registry

    registry = Registry(home)
    registry.prepare()
    place = "in this home" if registry.embedded else "on " + without_credentials(registry.tracking_uri)
    yield Finding("model registry", "well", f"{len(registry.versions())} versions, {place}")


def _sites(home: CoordinatorHome, clock: Clock) -> Iterable[Finding]:
    from gaitkeeper_server.store import CoordinatorStore
    from gaitkeeper_shared.trust.certificates import read_certificate

    sites = CoordinatorStore(home.store).enrolled_sites()
    if not sites:
        yield Finding("sites", "warning", "none is enrolled", "gaitkeeper coordinator invite SITE")
    for site in sites:
        what = f"site {site.name}"
        if site.certificate is not None:
            found = read_certificate(site.certificate, what=what)
            remedy = "Ask the site whether it runs; once expired it needs: gaitkeeper coordinator invite " + site.name
            span = found.not_valid_before_utc, found.not_valid_after_utc
            finding = check_certificate(what, *span, clock(), renews=_SITE_RENEWED_BY, remedy=remedy)
            if finding.verdict != "well":
                yield finding
        if site.last_seen is None or from_iso(site.last_seen) < clock() - _SILENT_AFTER:
            seen = f"last heard of {site.last_seen[:16]}" if site.last_seen else "never heard of since it enrolled"
            yield Finding(what, "warning", seen, "Ask the site's IT to run: gaitkeeper site doctor")
        else:
            yield Finding(what, "well", f"last heard of {site.last_seen[:16].replace('T', ' ')} UTC")
