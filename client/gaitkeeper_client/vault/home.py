"""The folder of a site: where everything that a clinic keeps lies, and the site's own settings in ``site.toml``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.homes import home_folder
from gaitkeeper_shared.toml import table_of

HOME_VARIABLE = "GAITKEEPER_SITE_HOME"
VAULT_FORMAT = 1
KeyMode = Literal["file", "passphrase"]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The table ``[site]`` of ``site.toml``.

    ``name``: the site's name in the consortium (lower-case letters, digits, hyphens). ``created_at``: UTC, ISO 8601.
    ``key_mode``: how the site's key is kept, as a key ``file`` or behind a ``passphrase``.
    """

    name: str
    created_at: str
    vault_format: int
    key_mode: KeyMode


@dataclass(frozen=True, slots=True)
class SiteHome:
    """The paths of a site. Making one touches nothing; :func:`create_home` makes the folders."""

    path: Path

    @classmethod
    def resolve(cls, option: Path | None = None) -> SiteHome:
        """The home that was asked for: the option, or ``GAITKEEPER_SITE_HOME``, or the user's data folder."""
        return cls(home_folder(option, HOME_VARIABLE, "site"))

    @property
    def config_file(self) -> Path:
        """The site's settings; other parts keep tables of their own in it, see :func:`read_table`."""
        return self.path / "site.toml"

    @property
    def policy_file(self) -> Path:
        """The site's own rules for what a consortium may do here."""
        return self.path / "policy.toml"

    @property
    def keys(self) -> Path:
        """Folder of private keys and certificates; only the owner may enter."""
        return self.path / "keys"

    @property
    def key_file(self) -> Path:
        """The site's key (key mode ``file``)."""
        return self.keys / "vault.key"

    @property
    def sealed_key_file(self) -> Path:
        """The site's key, sealed by a passphrase (key mode ``passphrase``)."""
        return self.keys / "vault.sealed.toml"

    @property
    def vault(self) -> Path:
        """Folder of the vault: index and encrypted recordings."""
        return self.path / "vault"

    @property
    def uploads(self) -> Path:
        """Recordings that were handed in, sealed, a folder for each pseudonym; made when the first one comes."""
        return self.path / "uploads"

    @property
    def ledger(self) -> Path:
        """The privacy ledger (SQLite)."""
        return self.path / "ledger.sqlite"

    @property
    def studies(self) -> Path:
        """Studies that were offered and approved."""
        return self.path / "studies"

    @property
    def releases(self) -> Path:
        """Signed model releases."""
        return self.path / "releases"

    @property
    def audit_log(self) -> Path:
        """The hash-chained audit log."""
        return self.path / "audit.log"

    @property
    def run(self) -> Path:
        """Process ids, sockets and state of what is running."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """Logs of the site's processes."""
        return self.path / "logs"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the home, itself first."""
        return (self.path, self.keys, self.vault, self.studies, self.releases, self.run, self.logs)

    def config(self) -> SiteConfig:
        """Read ``[site]``. Raises ``site-not-initialised`` or ``site-config-damaged``."""
        table = read_table(self, "site")
        known = {item.name for item in dataclasses.fields(SiteConfig)}
        texts = all(isinstance(table.get(key), str) for key in ("name", "created_at", "key_mode"))
        if set(table) != known or not texts or table["key_mode"] not in ("file", "passphrase"):
            detail = f"the table [site] must have exactly the keys {', '.join(sorted(known))}"
            raise GaitkeeperError("site-config-damaged", path=self.config_file, detail=detail)
        if table["vault_format"] != VAULT_FORMAT:
            raise GaitkeeperError("vault-format-unknown", found=table["vault_format"], known=VAULT_FORMAT)
        return SiteConfig(**table)


def create_home(home: SiteHome, name: str, key_mode: KeyMode, *, now: datetime | None = None) -> SiteConfig:
    """Make the folders and ``site.toml``, last: the key was made before, so that a settled home is a usable one.

    Raises ``site-exists`` where one was settled before, ``site-bad-name`` for a name that certificates cannot carry.
    """
    check_new(home, name)
    for folder in home.folders:
        make_private_folder(folder)
    stamp = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    config = SiteConfig(name, stamp, VAULT_FORMAT, key_mode)
    write_table(home, "site", dataclasses.asdict(config))
    return config


def check_new(home: SiteHome, name: str) -> None:
    """Refuse a bad name, or a home that is in use already."""
    if not _NAME.fullmatch(name):
        raise GaitkeeperError("site-bad-name", name=name)
    if home.config_file.exists():
        raise GaitkeeperError("site-exists", path=home.path)
    if home.path.exists() and not home.path.is_dir():
        raise GaitkeeperError("site-home-not-a-folder", path=home.path)


def read_table(home: SiteHome, table: str) -> Mapping[str, Any]:
    """One table of ``site.toml``, empty where there is none. Its owner turns it into a typed value."""
    value = _read(home).get(table, {})
    if not isinstance(value, dict):
        raise GaitkeeperError("site-config-damaged", path=home.config_file, detail=f"[{table}] is not a table")
    return value


def write_table(home: SiteHome, table: str, values: Mapping[str, Any]) -> None:
    """Replace one table of ``site.toml``, durably; the other tables stay as they are."""
    import tomli_w

    content = _read(home) if home.config_file.exists() else {}
    content[table] = dict(values)
    write_durably(home.config_file, tomli_w.dumps(content).encode("utf-8"))


def _read(home: SiteHome) -> dict[str, Any]:
    try:
        return table_of(home.config_file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GaitkeeperError("site-not-initialised", path=home.path) from error
    except (OSError, ValueError) as error:
        raise GaitkeeperError("site-config-damaged", path=home.config_file, detail=error) from error
