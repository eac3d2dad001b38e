"""The clinic's FHIR server, as the operator named it: table ``[fhir]`` of ``site.toml``. Nothing is sent without it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gaitkeeper_client.vault.home import read_table, write_table
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

TABLE = "fhir"


@dataclass(frozen=True, slots=True)
class FhirServer:
    """``url``: base of the server's FHIR R4 interface. ``token_file``: holds a bearer token, read anew for every post.

    ``ca_file``: PEM certificates that the server's own must come from; None for those of the system.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise GaitkeeperError("fhir-server-bad", url=self.url, detail="it is no base address of a FHIR server")
        if parts.username or parts.password:
            raise GaitkeeperError("fhir-server-bad", url="(hidden)", detail="it holds a password; use a token file")
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            detail = "reports of patients leave over TLS only; http:// is for this machine itself"
            raise GaitkeeperError("fhir-server-bad", url=self.url, detail=detail)

    def token(self) -> str | None:
        """The bearer token; None without a file. Raises ``fhir-token-unreadable``."""
        if self.token_file is None:
            return None
        try:
            text = self.token_file.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            detail = getattr(error, "strerror", None) or "it is not plain text"
            raise GaitkeeperError("fhir-token-unreadable", path=self.token_file, detail=detail) from error
        if not text or not text.isprintable() or " " in text:
            detail = "it must hold one token, on one line"
            raise GaitkeeperError("fhir-token-unreadable", path=self.token_file, detail=detail)
        return text


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fhir_server(home: SiteHome) -> FhirServer:
    """The server that the operator named. Raises ``fhir-no-server``, ``fhir-server-bad``, ``site-config-damaged``."""
    table = read_table(home, TABLE)
    if not table:
        raise GaitkeeperError("fhir-no-server")
    if not set(table) <= {"url", "token_file", "ca_file"} or not all(isinstance(one, str) for one in table.values()):
        detail = "the table [fhir] has url, token_file and ca_file, all of them texts"
        raise GaitkeeperError("site-config-damaged", path=home.config_file, detail=detail)
    files = {name: Path(table[name]) for name in ("token_file", "ca_file") if table.get(name)}
    return FhirServer(table.get("url", ""), **files)


def name_server(home: SiteHome, server: FhirServer) -> None:
    """Keep the server's address, durably. Raises ``site-not-initialised``, ``disk-full``."""
    home.config()
    table = {"url": server.url}
    table |= {
        name: str(path.absolute())
        for name, path in (("token_file", server.token_file), ("ca_file", server.ca_file))
        if path is not None
    }
    write_table(home, TABLE, table)
