"""The invitation: a small text file that a coordinator hands to a clinic's IT, and that pins the coordinator's root.

It holds a secret (the token, single use, with an expiry) and the whole root certificate, so that the very first
connection is already checked. Its fingerprint can be compared over the telephone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import tomli_w

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.toml import table_of
from gaitkeeper_shared.trust.certificates import SITE_NAME, fingerprint, read_certificate, spoken

INVITATION_SCHEMA = "gaitkeeper.invitation/1"
_MAX_BYTES = 32 * 1024
_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_KEYS = ("coordinator", "site", "address", "expires_at", "token", "root_certificate")


@dataclass(frozen=True, slots=True)
class InvitationLetter:
    """What the file says. ``address``: host:port of enrolment; ``root_certificate``: PEM; times ISO 8601 in UTC."""

    coordinator: str
    site: str
    address: str
    expires_at: str
    token: str = field(repr=False)
    root_certificate: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root certificate, in hex."""
        return fingerprint(read_certificate(self.root_certificate.encode(), what="the invitation's root certificate"))

    def to_text(self) -> str:
        """The file."""
        head = (
            f"# Invitation of site {self.site} by {self.coordinator}. It works once, until {self.expires_at}.\n"
            "# Keep it secret: whoever has it can enrol in the site's name. At the site:\n"
            "#     gaitkeeper site enrol THIS_FILE\n"
            f"# Compare over the telephone: {spoken(self.fingerprint)}\n\n"
        )
        table: dict[str, str] = {"schema": INVITATION_SCHEMA, **{key: getattr(self, key) for key in _KEYS}}
        return head + tomli_w.dumps({"invitation": table}, multiline_strings=True)

    @classmethod
    def load(cls, path: Path) -> InvitationLetter:
        """Read and check the file. Raises ``invitation-unreadable`` or ``certificate-unusable``."""
        try:
            data = path.read_bytes()
            if len(data) > _MAX_BYTES:
                raise ValueError("it is too long")
            table = table_of(data)["invitation"]
            if table["schema"] != INVITATION_SCHEMA:
                raise ValueError(f"its schema is not {INVITATION_SCHEMA}")
            values = {key: table[key] for key in _KEYS}
            _check(values)
        except OSError as error:
            raise GaitkeeperError("invitation-unreadable", path=path, detail=error.strerror or error) from error
        except KeyError as error:
            raise GaitkeeperError("invitation-unreadable", path=path, detail=f"{error} is missing") from error
        except (ValueError, TypeError) as error:
            raise GaitkeeperError("invitation-unreadable", path=path, detail=error) from error
        letter = cls(**values)
        read_certificate(letter.root_certificate.encode(), what="the invitation's root certificate")
        return letter


def is_address(text: str) -> bool:
    """Whether ``text`` is host:port."""
    return bool(_ADDRESS.fullmatch(text)) and 1 <= int(text.rpartition(":")[2]) <= 65_535


def _check(values: dict[str, object]) -> None:
    plain = [value for key, value in values.items() if key != "root_certificate"]
    if not all(isinstance(value, str) and value.isprintable() for value in plain):
        raise ValueError("every value must be a text")
    if not isinstance(values["root_certificate"], str) or not values["root_certificate"].isascii():
        raise ValueError("root_certificate must be a text")
    if not SITE_NAME.fullmatch(str(values["site"])):
        raise ValueError("its site's name cannot be used")
    if not is_address(str(values["address"])):
        raise ValueError("its address is not host:port")
