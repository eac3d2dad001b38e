"""The coordinator's store: invitations, sites, studies, releases, orders and what the sites said to them.

One SQLite file, every change a transaction that is on the disk before anyone is told (``synchronous=FULL``). Any
process of the coordinator may open it at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gaitkeeper_server.store_file import StoreFile
from gaitkeeper_shared.errors import GaitkeeperError

SiteState = Literal["invited", "enrolled", "revoked"]
AckState = Literal["downloaded", "active", "refused"]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as stored: the token only as its SHA-256. Times are ISO 8601 in UTC."""

    site: str
    expires_at: str
    used_key: str | None
    """SHA-256 of the TLS key that it was used by."""


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """A member or future member. ``node_public_key``: EC P-384, PEM, as Flower's link state stores it."""

    name: str
    state: SiteState
    invited_at: str
    enrolled_at: str | None
    certificate: bytes | None
    node_public_key: bytes | None
    last_seen: str | None


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A signed study that is offered to the sites: its bytes are its identity."""

    hash: str
    name: str
    study: bytes
    signatures: bytes
    signed_at: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a site decided on a study."""

    site: str
    study_hash: str
    approved: bool
    at: str


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A signed release; its model lies under ``releases/VERSION``."""

    version: int
    manifest: bytes
    signatures: bytes


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A signed order to a site, and what the site last said to it."""

    site: str
    sequence: int
    version: int
    order: bytes
    signatures: bytes
    ordered_at: str
    state: AckState | None
    code: str
    reason: str
    acknowledged_at: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody has, or had: ``person`` and ``uid`` name a user of this machine."""

    person: str
    uid: int
    role: str
    granted_at: str
    withdrawn_at: str | None


_SCHEMA = """
CREATE TABLE IF NOT EXISTS sites (
    name TEXT PRIMARY KEY, state TEXT NOT NULL, invited_at TEXT NOT NULL, enrolled_at TEXT, certificate BLOB,
    previous_certificate BLOB, node_public_key BLOB, last_seen TEXT) STRICT;
CREATE TABLE IF NOT EXISTS invitations (
    token_sha256 TEXT PRIMARY KEY, site TEXT NOT NULL REFERENCES sites(name), expires_at TEXT NOT NULL,
    used_key TEXT) STRICT;
CREATE TABLE IF NOT EXISTS studies (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, study BLOB NOT NULL, signatures BLOB NOT NULL,
    signed_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS decisions (
    site TEXT NOT NULL, study_hash TEXT NOT NULL REFERENCES studies(hash), approved INTEGER NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (site, study_hash)) STRICT;
CREATE TABLE IF NOT EXISTS releases (
    version INTEGER PRIMARY KEY, manifest BLOB NOT NULL, signatures BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    sequence INTEGER PRIMARY KEY, site TEXT NOT NULL REFERENCES sites(name),
    version INTEGER NOT NULL REFERENCES releases(version), document BLOB NOT NULL, signatures BLOB NOT NULL,
    ordered_at TEXT NOT NULL, state TEXT, code TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    acknowledged_at TEXT) STRICT;
CREATE TABLE IF NOT EXISTS grants (
    person TEXT NOT NULL, uid INTEGER NOT NULL, role TEXT NOT NULL, granted_at TEXT NOT NULL, withdrawn_at TEXT,
    PRIMARY KEY (person, role)) STRICT;
CREATE INDEX IF NOT EXISTS orders_of_site ON orders (site, sequence);
"""
_SITE = "SELECT name, state, invited_at, enrolled_at, certificate, node_public_key, last_seen FROM sites"
_ORDER = (
    "SELECT site, sequence, version, document, signatures, ordered_at, state, code, reason, acknowledged_at FROM orders"
)


class CoordinatorStore(StoreFile):
    """The store at ``path`` (``CoordinatorHome.store``). Safe for threads and processes: a connection per change."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._transaction() as database:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)

    # Sites and invitations

    def invite(self, site: str, token_sha256: str, invited_at: str, expires_at: str) -> None:
        """Record an invitation. Earlier unused ones for the site end; an enrolled site stays enrolled meanwhile."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO sites (name, state, invited_at) VALUES (?, 'invited', ?) "
                "ON CONFLICT (name) DO UPDATE SET invited_at = excluded.invited_at",
                (site, invited_at),
            )
            database.execute("DELETE FROM invitations WHERE site = ? AND used_key IS NULL", (site,))
            database.execute("INSERT INTO invitations VALUES (?, ?, ?, NULL)", (token_sha256, site, expires_at))

    def invitation(self, token_sha256: str) -> Invitation | None:
        """The invitation of a token."""
        rows = self._rows("SELECT site, expires_at, used_key FROM invitations WHERE token_sha256 = ?", token_sha256)
        return Invitation(*rows[0]) if rows else None

    def enrol(
        self, token_sha256: str, used_key: str, certificate: bytes, node_public_key: bytes, enrolled_at: str
    ) -> bool:
        """Use the invitation and admit its site, in one transaction. False where somebody was faster."""
        with self._transaction() as database:
            used = database.execute(
                "UPDATE invitations SET used_key = ? WHERE token_sha256 = ? AND used_key IS NULL RETURNING site",
                (used_key, token_sha256),
            ).fetchall()
            if not used:
                return False
            database.execute(
                "UPDATE sites SET state = 'enrolled', enrolled_at = ?, certificate = ?, node_public_key = ?, "
                "previous_certificate = NULL WHERE name = ?",
                (enrolled_at, certificate, node_public_key, used[0][0]),
            )
            return True

    def renew(self, site: str, certificate: bytes) -> None:
        """Give an enrolled site a new certificate. The present one counts until the new one is first shown."""
        with self._transaction() as database:
            database.execute(
                "UPDATE sites SET previous_certificate = coalesce(previous_certificate, certificate), certificate = ? "
                "WHERE name = ? AND state = 'enrolled'",
                (certificate, site),
            )

    def site_of_certificate(self, certificate: bytes) -> str | None:
        """The enrolled site that shows this very certificate (PEM); a new one's first use ends the one before."""
        query = (
            "SELECT name, certificate = ?, previous_certificate IS NULL FROM sites "
            "WHERE state = 'enrolled' AND (certificate = ? OR previous_certificate = ?)"
        )
        rows = self._rows(query, certificate, certificate, certificate)
        if not rows:
            return None
        name, newest, settled = rows[0]
        if newest and not settled:
            with self._transaction() as database:
                database.execute(
                    "UPDATE sites SET previous_certificate = NULL WHERE name = ? AND certificate = ?",
                    (name, certificate),
                )
        return str(name)

    def revoke(self, site: str) -> None:
        """Shut a site out; its open invitations end. Raises ``site-unknown``."""
        with self._transaction() as database:
            changed = database.execute("UPDATE sites SET state = 'revoked' WHERE name = ?", (site,)).rowcount
            database.execute("DELETE FROM invitations WHERE site = ? AND used_key IS NULL", (site,))
        if not changed:
            raise GaitkeeperError("site-unknown", site=site)

    def end_invitations(self) -> None:
        """End every invitation that nobody used, as far as this store knows."""
        with self._transaction() as database:
            database.execute("DELETE FROM invitations WHERE used_key IS NULL")

    def seen(self, calls: Mapping[str, str]) -> None:
        """Note when sites called, by their names."""
        with self._transaction() as database:
            rows = [(at, site) for site, at in calls.items()]
            database.executemany("UPDATE sites SET last_seen = ? WHERE name = ?", rows)

    def site(self, name: str) -> SiteRecord | None:
        """One site."""
        rows = self._rows(f"{_SITE} WHERE name = ?", name)
        return SiteRecord(*rows[0]) if rows else None

    def sites(self) -> tuple[SiteRecord, ...]:
        """Every site ever invited, by name."""
        return tuple(SiteRecord(*row) for row in self._rows(f"{_SITE} ORDER BY name"))

    def enrolled_sites(self) -> tuple[SiteRecord, ...]:
        """The members, by name: each has a certificate and a node key."""
        return tuple(site for site in self.sites() if site.state == "enrolled")

    # Studies

    def offer_study(self, record: StudyRecord) -> None:
        """Offer a signed study to the sites, or renew its signatures."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO studies VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (hash) DO UPDATE SET signatures = excluded.signatures, signed_at = excluded.signed_at",
                (record.hash, record.name, record.study, record.signatures, record.signed_at),
            )

    def studies(self) -> tuple[StudyRecord, ...]:
        """Every offered study, oldest first."""
        rows = self._rows("SELECT hash, name, study, signatures, signed_at FROM studies ORDER BY signed_at, hash")
        return tuple(StudyRecord(*row) for row in rows)

    def study(self, study_hash: str) -> StudyRecord | None:
        """One offered study."""
        return next((record for record in self.studies() if record.hash == study_hash), None)

    def decide(self, decision: Decision) -> None:
        """Note what a site decided on an offered study."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)",
                (decision.site, decision.study_hash, int(decision.approved), decision.at),
            )

    def decisions(self, study_hash: str) -> tuple[Decision, ...]:
        """What the sites decided on a study, by site."""
        query = "SELECT site, study_hash, approved, at FROM decisions WHERE study_hash = ? ORDER BY site"
        return tuple(Decision(row[0], row[1], bool(row[2]), row[3]) for row in self._rows(query, study_hash))

    # Releases and orders

    def add_release(self, record: ReleaseRecord) -> None:
        """Keep a release. Raises ``release-exists`` where the version has another manifest."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO releases VALUES (?, ?, ?)", (record.version, record.manifest, record.signatures)
            )
            kept = database.execute("SELECT manifest FROM releases WHERE version = ?", (record.version,)).fetchone()
        if kept[0] != record.manifest:
            raise GaitkeeperError("release-exists", version=record.version)

    def add_signatures(self, version: int, before: bytes, signatures: bytes) -> bool:
        """Put ``signatures`` in the place of those that were there ``before``; False where these changed meanwhile."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE releases SET signatures = ? WHERE version = ? AND signatures = ?", (signatures, version, before)
            )
            return changed.rowcount == 1

    def release(self, version: int) -> ReleaseRecord | None:
        """One release."""
        rows = self._rows("SELECT version, manifest, signatures FROM releases WHERE version = ?", version)
        return ReleaseRecord(*rows[0]) if rows else None

    def release_versions(self) -> tuple[int, ...]:
        """Every released version, the oldest first."""
        return tuple(int(row[0]) for row in self._rows("SELECT version FROM releases ORDER BY version"))

    def highest_sequence(self) -> int:
        """The highest order number given out; 0 before the first."""
        return int(self._rows("SELECT coalesce(max(sequence), 0) FROM orders")[0][0])

    def add_orders(self, records: Sequence[OrderRecord]) -> None:
        """Give out orders, all or none."""
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO orders (site, sequence, version, document, signatures, ordered_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (item.site, item.sequence, item.version, item.order, item.signatures, item.ordered_at)
                    for item in records
                ],
            )

    def orders(self, site: str) -> tuple[OrderRecord, ...]:
        """All orders to a site, newest first."""
        return tuple(OrderRecord(*row) for row in self._rows(f"{_ORDER} WHERE site = ? ORDER BY sequence DESC", site))

    def current_order(self, site: str) -> OrderRecord | None:
        """The newest order to a site: the one that counts."""
        rows = self._rows(f"{_ORDER} WHERE site = ? ORDER BY sequence DESC LIMIT 1", site)
        return OrderRecord(*rows[0]) if rows else None

    def acknowledge(self, site: str, sequence: int, state: AckState, code: str, reason: str, at: str) -> bool:
        """Note what a site said to an order of its own; False where there is no such order."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE orders SET state = ?, code = ?, reason = ?, acknowledged_at = ? "
                "WHERE site = ? AND sequence = ?",
                (state, code, reason, at, site, sequence),
            ).rowcount
        return changed == 1

    # People

    def grant(self, grant: Grant) -> None:
        """Note a role that somebody has from now on."""
        with self._transaction() as database:
            row = (grant.person, grant.uid, grant.role, grant.granted_at)
            database.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, NULL)", row)

    def withdraw(self, person: str, role: str | None, at: str) -> tuple[str, ...]:
        """End a role of somebody, or (None) all; the roles ended. The rows stay: roles were set up here once."""
        with self._transaction() as database:
            rows = database.execute(
                "UPDATE grants SET withdrawn_at = ? "
                "WHERE person = ? AND withdrawn_at IS NULL AND role = ifnull(?, role) RETURNING role",
                (at, person, role),
            ).fetchall()
        return tuple(sorted(row[0] for row in rows))

    def grants(self) -> tuple[Grant, ...]:
        """Every role ever given, by person."""
        query = "SELECT person, uid, role, granted_at, withdrawn_at FROM grants ORDER BY person, role"
        return tuple(Grant(*row) for row in self._rows(query))
