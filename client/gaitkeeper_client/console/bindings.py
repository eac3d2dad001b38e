"""Which person at the clinic's provider a user of this console is: issuer and subject, never the name alone.

A provider's names change hands: somebody leaves, and the next one gets "anna". The subject never does (OpenID Connect
Core 1.0, section 2). The first sign-in binds a user to a subject; from then on the subject decides, and whoever comes
with the same name and another subject is refused until IT takes the binding away.
"""

from __future__ import annotations

from gaitkeeper_client.console.claims import Person
from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.users import User, Users
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now


class Bindings:
    """The bindings of a console."""

    def __init__(self, database: Database, users: Users, clock: Clock = utc_now) -> None:
        self._database, self._users, self._clock = database, users, clock

    def user_of(self, person: Person) -> User:
        """The user whom a person is, bound by this where nobody was, with the roles that the provider gives, where it
        does. Raises ``oidc-refused``."""
        with self._database.write() as connection:
            query = "SELECT user FROM bindings WHERE issuer = ? AND subject = ?"
            row = connection.execute(query, (person.issuer, person.subject)).fetchone()
            name = person.name if row is None else row["user"]
            known = connection.execute("SELECT disabled_at FROM users WHERE name = ?", (name,)).fetchone()
            if known is None or known["disabled_at"] is not None:
                raise GaitkeeperError("oidc-refused", detail="nobody of that name may sign in at this console")
            if row is None:
                taken = connection.execute("SELECT 1 FROM bindings WHERE user = ?", (name,)).fetchone()
                if taken is not None:
                    detail = "the user of that name is another person at the provider"
                    raise GaitkeeperError("oidc-refused", detail=detail)
                values = (person.issuer, person.subject, name, iso(self._clock()))
                connection.execute("INSERT INTO bindings VALUES (?, ?, ?, ?)", values)
        user = next(one for one in self._users.all() if one.name == name)
        if person.roles is not None and person.roles != user.roles:
            self._users.change(name, roles=person.roles)  # ends sessions that have the old ones
            user = next(one for one in self._users.all() if one.name == name)
        return user

    def all(self) -> dict[str, str]:
        """The subject of each bound user."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT user, subject FROM bindings").fetchall()
        return {row["user"]: row["subject"] for row in rows}

    def release(self, user: str) -> bool:
        """Take a user's binding away; whether there was one. The next sign-in binds anew."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM bindings WHERE user = ?", (user,)).rowcount > 0
