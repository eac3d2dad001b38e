"""Sessions of people and keys of programs. Both live here; the browser and the program hold a random token only.

The database keeps a SHA-256 of each token: it has 256 random bits, so that nobody who reads the file can use it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.rights import Principal, Scope, rights_of_roles, rights_of_scopes
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.console.users import User
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

KEY_PREFIX = "gk"
_TOUCH_S = 20.0
"""A session's last use is written at most so often: every page would cost a commit."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just made. ``token``: for the cookie, kept nowhere else."""

    token: str
    csrf: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's key, without its secret. Times UTC, ISO 8601."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class Sessions:
    """The sessions of a console."""

    def __init__(self, database: Database, settings: ConsoleSettings, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock
        self._idle_s, self._longest_s = settings.idle_minutes * 60.0, settings.session_hours * 3600.0

    def begin(self, user: User, replaces: str | None = None) -> NewSession:
        """A fresh session; whatever session the browser came with (``replaces``) ends."""
        now, made = self._clock().timestamp(), NewSession(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE seen_at < ? OR created_at < ?", self._limits(now))
            if replaces:
                connection.execute("DELETE FROM sessions WHERE token = ?", (_hash(replaces),))
            row = (_hash(made.token), user.name, made.csrf, now, now)
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", row)
        return made

    def find(self, token: str, *, touch: bool = True) -> Principal | None:
        """Who has this session, None where it ended. ``touch``: whether this counts as using it."""
        now = self._clock().timestamp()
        query = (
            "SELECT s.*, u.roles FROM sessions s JOIN users u ON u.name = s.user"
            " WHERE s.token = ? AND s.seen_at >= ? AND s.created_at >= ? AND u.disabled_at IS NULL"
        )
        with self._database.read() as connection:
            row = connection.execute(query, (_hash(token), *self._limits(now))).fetchone()
        if row is None:
            return None
        if touch and now - row["seen_at"] > _TOUCH_S:
            with self._database.write() as connection:
                connection.execute("UPDATE sessions SET seen_at = ? WHERE token = ?", (now, _hash(token)))
        roles = tuple(row["roles"].split(","))
        return Principal(row["user"], rights_of_roles(roles), roles, row["csrf"])

    def end(self, token: str) -> None:
        """Sign out."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sessions WHERE token = ?", (_hash(token),))

    def _limits(self, now: float) -> tuple[float, float]:
        return now - self._idle_s, now - self._longest_s


class ApiKeys:
    """The API keys of a console."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def add(self, name: str, scopes: tuple[Scope, ...], days: int | None = None) -> str:
        """A new key, as the program has to send it: it is shown once and kept nowhere."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        expires = None if days is None else iso(self._clock() + timedelta(days=days))
        row = (key_id, name, _hash(secret), ",".join(scopes), iso(self._clock()), expires)
        with self._database.write() as connection:
            connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
        return f"{KEY_PREFIX}_{key_id}_{secret}"

    def all(self) -> tuple[ApiKey, ...]:
        """Every key that was made, revoked ones too."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM api_keys ORDER BY created_at").fetchall()
        return tuple(_key(row) for row in rows)

    def revoke(self, key_id: str) -> None:
        """End a key. Raises ``console-key-unknown``."""
        with self._database.write() as connection:
            query = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
            if connection.execute(query, (iso(self._clock()), key_id)).rowcount == 0:
                raise GaitkeeperError("console-key-unknown", key=key_id)

    def find(self, text: str) -> Principal | None:
        """Whose key this is; None for one that is unknown, revoked or past its time."""
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != KEY_PREFIX:
            return None
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM api_keys WHERE id = ?", (parts[1],)).fetchone()
        if row is None or not hmac.compare_digest(row["secret"], _hash(parts[2])) or row["revoked_at"] is not None:
            return None
        if row["expires_at"] is not None and row["expires_at"] <= iso(self._now()):
            return None
        return Principal(f"key:{row['name']}", rights_of_scopes(_key(row).scopes))

    def _now(self) -> datetime:
        return self._clock()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key(row: sqlite3.Row) -> ApiKey:
    scopes = tuple(row["scopes"].split(","))
    return ApiKey(row["id"], row["name"], scopes, row["created_at"], row["expires_at"], row["revoked_at"])
