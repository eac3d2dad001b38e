"""The people who may sign in: argon2id hashes of their passwords, their roles, and a brake on guessing.

argon2id: RFC 9106, doi:10.17487/RFC9106, with the library's parameters (64 MiB, three passes). A hash that was made
with weaker ones is made anew when its owner signs in.
"""

from __future__ import annotations

import hmac
import re
import sqlite3
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.rights import Role, parse_roles
from gaitkeeper_client.vault.keys import LEAST_PASSPHRASE
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_FILE_VARIABLE = "GAITKEEPER_CONSOLE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
LONGEST_PASSWORD = 1_024
NO_PASSWORD = "none"  # noqa: S105 - no hash at all: nothing fits it
WINDOW_S = 15 * 60.0
_LIMITS = {"pair": 5, "user": 25, "address": 40}
"""Wrong passwords in :data:`WINDOW_S`: of one user from one address, of one user, from one address. The first stops a
guesser early; the others are wider, so that a stranger cannot easily lock somebody else out."""
_few_at_a_time = threading.Semaphore(4)
"""Each check takes 64 MiB: a flood of sign-ins must not take the machine's memory."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in. ``disabled_at``: UTC, ISO 8601, or None."""

    name: str
    roles: tuple[Role, ...]
    created_at: str
    disabled_at: str | None


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("nobody has this password, yet it takes as long to check")


class Users:
    """The users of a console. ``secret``: for keyed hashes of names and addresses among the failures."""

    def __init__(self, database: Database, secret: bytes, clock: Clock = utc_now) -> None:
        self._database, self._secret, self._clock = database, secret, clock

    def add(self, name: str, password: str | None, roles: tuple[Role, ...]) -> User:
        """A new user; one without a password signs in through the clinic\'s provider only.

        Raises ``console-bad-user``, ``console-user-exists``, ``console-password-weak``.
        """
        if not _NAME.fullmatch(name):
            raise GaitkeeperError("console-bad-user", name=name)
        user = User(name, parse_roles(roles), iso(self._clock()), None)
        hashed = NO_PASSWORD if password is None else _hashed(name, password)
        row = (name, hashed, ",".join(user.roles), user.created_at)
        try:
            with self._database.write() as connection:
                connection.execute("INSERT INTO users VALUES (?, ?, ?, ?, NULL)", row)
        except sqlite3.IntegrityError as error:
            raise GaitkeeperError("console-user-exists", name=name) from error
        return user

    def change(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: tuple[Role, ...] | None = None,
        enabled: bool | None = None,
    ) -> None:
        """Change a user, and end their sessions. Raises ``console-user-unknown``, ``console-password-weak``."""
        hashed = None if password is None else _hashed(name, password)
        with self._database.write() as connection:
            found = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
            if found is None:
                raise GaitkeeperError("console-user-unknown", name=name)
            disabled = found["disabled_at"] if enabled is None else None if enabled else iso(self._clock())
            connection.execute(
                "UPDATE users SET password = ?, roles = ?, disabled_at = ? WHERE name = ?",
                (hashed or found["password"], found["roles"] if roles is None else ",".join(roles), disabled, name),
            )
            connection.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def all(self) -> tuple[User, ...]:
        """Every user, by name."""
        with self._database.read() as connection:
            return tuple(_user(row) for row in connection.execute("SELECT * FROM users ORDER BY name").fetchall())

    def check(self, name: str, password: str, address: str) -> User:
        """The user whose password this is. Raises ``console-wrong-password``, or ``console-slow-down`` before it looks.

        An unknown name, and one that has no password, takes as long as a known one.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        name = name.strip().lower()
        self.brake(name, address)
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
        stored = row["password"] if row is not None and row["password"] != NO_PASSWORD else _nobodys_hash()
        password = password[:LONGEST_PASSWORD]
        try:
            with _few_at_a_time:
                _hasher().verify(stored, password)
        except (VerificationError, InvalidHashError) as error:
            self.failed(name, address)
            raise GaitkeeperError("console-wrong-password") from error
        if row is None or row["password"] == NO_PASSWORD or row["disabled_at"] is not None:
            self.failed(name, address)
            raise GaitkeeperError("console-wrong-password")
        if _hasher().check_needs_rehash(stored):
            with self._database.write() as connection:
                connection.execute("UPDATE users SET password = ? WHERE name = ?", (_hasher().hash(password), name))
        return _user(row)

    def _subjects(self, name: str, address: str) -> dict[str, bytes]:
        texts = {"pair": f"pair {name} {address}", "user": f"user {name}", "address": f"address {address}"}
        return {kind: hmac.digest(self._secret, text.encode(), "sha256") for kind, text in texts.items()}

    def brake(self, name: str, address: str) -> None:
        """Raises ``console-slow-down`` where too much was wrong of this name or from this address lately."""
        since = self._clock().timestamp() - WINDOW_S
        with self._database.read() as connection:
            for kind, subject in self._subjects(name, address).items():
                query = "SELECT COUNT(*) FROM failures WHERE subject = ? AND at > ?"
                if connection.execute(query, (subject, since)).fetchone()[0] >= _LIMITS[kind]:
                    raise GaitkeeperError("console-slow-down", minutes=round(WINDOW_S / 60))

    def failed(self, name: str, address: str) -> None:
        """Count something wrong, such as a password."""
        now = self._clock().timestamp()
        with self._database.write() as connection:
            connection.execute("DELETE FROM failures WHERE at < ?", (now - WINDOW_S,))
            rows = [(now, subject) for subject in self._subjects(name, address).values()]
            connection.executemany("INSERT INTO failures VALUES (?, ?)", rows)


def _hashed(name: str, password: str) -> str:
    if not LEAST_PASSPHRASE <= len(password) <= LONGEST_PASSWORD or name in password.lower():
        raise GaitkeeperError("console-password-weak", least=LEAST_PASSPHRASE)
    return _hasher().hash(password)


def _user(row: sqlite3.Row) -> User:
    return User(row["name"], tuple(row["roles"].split(",")), row["created_at"], row["disabled_at"])
