"""What every request and every worker of a console works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from gaitkeeper_client.console.bindings import Bindings
from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.jobs import Queue
from gaitkeeper_client.console.sessions import ApiKeys, Sessions
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.console.uploads import Uploads
from gaitkeeper_client.console.users import Users
from gaitkeeper_client.console.words import SealedWords
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.trust.audit import Fact
from gaitkeeper_shared.trust.clock import Clock, utc_now


@dataclass(frozen=True, slots=True)
class Console:
    """One site's console. ``name``: the site's."""

    home: SiteHome
    key: SiteKey
    settings: ConsoleSettings
    name: str
    users: Users
    sessions: Sessions
    api_keys: ApiKeys
    queue: Queue
    uploads: Uploads
    bindings: Bindings
    clock: Clock = field(default=utc_now)

    @classmethod
    def of(cls, home: SiteHome, key: SiteKey, settings: ConsoleSettings, clock: Clock = utc_now) -> Console:
        """The console of a home. Raises ``site-not-initialised``."""
        name, database = home.config().name, Database(home)
        users = Users(database, key.identify("console/failures"), clock)
        return cls(
            home,
            key,
            settings,
            name,
            users,
            Sessions(database, settings, clock),
            ApiKeys(database, clock),
            Queue(database, home.run, SealedWords(key), clock),
            Uploads(home, key),
            Bindings(database, users, clock),
            clock,
        )

    def vault(self) -> Vault:
        """The vault, opened; for a ``with`` statement."""
        return Vault.open(self.home, self.key)

    def record(self, event: str, by: str, **facts: Fact) -> None:
        """An entry in the site's audit log: who did, or looked at, what. Patients go by pseudonym."""
        record(self.home, event, by=by, **facts)
