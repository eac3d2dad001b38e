"""Deployments: which site was ordered to run which version, and what it said. Rolling back is a new, higher order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import kept_release, released
from gaitkeeper_server.store import CoordinatorStore, OrderRecord
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.release import Order
from gaitkeeper_shared.trust.signatures import ORDER_CONTEXT, sign


@dataclass(frozen=True, slots=True)
class Deployment:
    """How it stands at one site. ``state``: ``none``, ``ordered``, ``downloaded``, ``active`` or ``refused``.

    ``active_version``: what the site last said to run, which stays so when a newer order is refused.
    """

    site: str
    version: int | None
    state: str
    ordered_at: str | None
    acknowledged_at: str | None
    active_version: int | None
    code: str = ""
    reason: str = ""


def deploy(
    home: CoordinatorHome, version: int, sites: Sequence[str] | None = None, *, clock: Clock = utc_now
) -> tuple[str, ...]:
    """Order ``sites`` (default: every enrolled one) to run a released version; the names ordered.

    Raises ``release-unknown`` or ``release-no-target``.
    """
    names = _targets(home, sites)
    return _order(home, dict.fromkeys(names, version), "deployment-ordered", clock)


def roll_back(
    home: CoordinatorHome, to: int | None = None, sites: Sequence[str] | None = None, *, clock: Clock = utc_now
) -> dict[str, int]:
    """Order sites back: to version ``to``, or each to what it ran before its present version. Version by site.

    Raises ``rollback-impossible``, ``release-unknown`` or ``release-no-target``; then no order was given.
    """
    names = _targets(home, sites)
    versions: dict[str, int] = {}
    without: list[str] = []
    for name in names:
        version = to if to is not None else _previous(home, name)
        if version is None:
            without.append(name)
        else:
            versions[name] = version
    if without and (sites is not None or not versions):
        raise GaitkeeperError("rollback-impossible", sites=", ".join(without))
    _order(home, versions, "rollback-ordered", clock)
    return versions


def deployments(home: CoordinatorHome) -> tuple[Deployment, ...]:
    """How it stands at every enrolled site, by name."""
    store = CoordinatorStore(home.store)
    rows = []
    for site in store.enrolled_sites():
        orders = store.orders(site.name)
        active = max(
            (order for order in orders if order.state == "active"), key=lambda order: order.sequence, default=None
        )
        if not orders:
            rows.append(Deployment(site.name, None, "none", None, None, None))
            continue
        newest = orders[0]
        rows.append(
            Deployment(
                site.name,
                newest.version,
                newest.state or "ordered",
                newest.ordered_at,
                newest.acknowledged_at,
                active.version if active else None,
                newest.code,
                newest.reason,
            )
        )
    return tuple(rows)


def _targets(home: CoordinatorHome, sites: Sequence[str] | None) -> tuple[str, ...]:
    enrolled = tuple(site.name for site in CoordinatorStore(home.store).enrolled_sites())
    chosen = tuple(sorted(set(sites))) if sites is not None else enrolled
    unknown = [name for name in chosen if name not in enrolled]
    if unknown or not chosen:
        raise GaitkeeperError("release-no-target", names=", ".join(unknown) or "(none at all)")
    return chosen


def _previous(home: CoordinatorHome, site: str) -> int | None:
    """The version before the present one, in the order that they were ordered."""
    orders = CoordinatorStore(home.store).orders(site)
    if not orders:
        return None
    present = orders[0].version
    # What was refused never ran here: nothing to go back to.
    return next((item.version for item in orders[1:] if item.version != present and item.state != "refused"), None)


def _order(home: CoordinatorHome, versions: dict[str, int], event: str, clock: Clock) -> tuple[str, ...]:
    store, config, signer = CoordinatorStore(home.store), home.config(), home.signer()
    now = clock()
    # From the clock, so that a store restored from a backup still counts on above what the sites have seen.
    sequence = max(store.highest_sequence(), int(now.timestamp() * 1000))
    records = []
    for number, (site, version) in enumerate(sorted(versions.items()), start=1):
        manifest_sha256 = _manifest_hash(home, version)
        order = Order(config.name, site, sequence + number, version, manifest_sha256, iso(now))
        data = order.to_bytes()
        signatures = sign(data, ORDER_CONTEXT, signer, clock=clock).to_bytes()
        records.append(
            OrderRecord(site, order.sequence, version, data, signatures, order.ordered_at, None, "", "", None)
        )
    store.add_orders(records)
    log = AuditLog(home.audit_log, clock=clock)
    for record in records:
        log.append(event, site=record.site, version=record.version, order=record.sequence)
    return tuple(sorted(versions))


def _manifest_hash(home: CoordinatorHome, version: int) -> str:
    released(home, version)
    return hashlib.sha256(kept_release(home, version).manifest).hexdigest()
