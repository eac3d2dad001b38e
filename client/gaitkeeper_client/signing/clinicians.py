"""The clinicians of a site who may sign: one Ed25519 key each, sealed by the clinician's own passphrase.

``keys/clinicians/NAME.toml`` in the site's home holds the public key, and the private one as the site's own key is kept
behind a passphrase (scrypt, AES-256-GCM). The audit log tells when each key came and when it was withdrawn: a key that
it never heard of is not a clinician's, whatever file lies there.
"""

from __future__ import annotations

import re
import secrets
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.keys import LEAST_PASSPHRASE, SCRYPT_N, stretch
from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from pathlib import Path

    from gaitkeeper_client.vault.home import SiteHome

PASSPHRASE_VARIABLE = "GAITKEEPER_CLINICIAN_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
NEW_PASSPHRASE_VARIABLE = "GAITKEEPER_NEW_CLINICIAN_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
_FORMAT = "gaitkeeper.clinician/1"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
_MOST_ROLE = 100


@dataclass(frozen=True, slots=True)
class Clinician:
    """Somebody who may sign. ``name``: short, unique at the site; ``role``: such as "physiotherapist".

    ``added_at``, ``withdrawn_at``: UTC, ISO 8601; what was signed before a withdrawal stays signed.
    """

    name: str
    role: str
    key: VerifyingKey
    added_at: str
    withdrawn_at: str | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """A clinician with the opened key."""

    clinician: Clinician
    key: SigningKey


def add_clinician(
    home: SiteHome, name: str, role: str, passphrase: str, *, scrypt_n: int = SCRYPT_N, now: datetime | None = None
) -> Clinician:
    """Make a clinician's key. Raises ``clinician-bad-name``, ``clinician-exists``, ``passphrase-weak``."""
    if not _NAME.fullmatch(name) or not role.strip() or len(role) > _MOST_ROLE or not role.isprintable():
        raise GaitkeeperError("clinician-bad-name", name=name)
    if len(passphrase) < LEAST_PASSPHRASE:
        raise GaitkeeperError("passphrase-weak", least=LEAST_PASSPHRASE)
    home.config()
    path = _path(home, name)
    if path.exists():
        raise GaitkeeperError("clinician-exists", name=name)
    key = SigningKey.generate()
    secret = _sealed(key, name, passphrase, scrypt_n)
    made = Clinician(name, role.strip(), key.verifying, _stamp(now))
    make_private_folder(path.parent)
    # The log first: a key that the log does not know signs nothing.
    record(home, "clinician-added", clinician=name, key=key.verifying.key_id)
    _write(path, made, secret)
    return made


def change_passphrase(home: SiteHome, name: str, old: str, new: str, *, scrypt_n: int = SCRYPT_N) -> Clinician:
    """Seal a clinician's key by another passphrase; the key, and all that it signed, stays.

    A backup that was made before opens with the old one. Raises as :func:`unlock_clinician`, and ``passphrase-weak``.
    """
    signer = unlock_clinician(home, name, old)
    if len(new) < LEAST_PASSPHRASE:
        raise GaitkeeperError("passphrase-weak", least=LEAST_PASSPHRASE)
    _write(_path(home, name), signer.clinician, _sealed(signer.key, name, new, scrypt_n))
    record(home, "clinician-passphrase-changed", clinician=name, key=signer.key.verifying.key_id)
    return signer.clinician


def withdraw_clinician(home: SiteHome, name: str, *, now: datetime | None = None) -> Clinician:
    """Let a clinician sign no more; the private key is removed. Raises ``clinician-unknown``."""
    known = find_clinician(home, name)
    if known.withdrawn_at is not None:
        return known
    gone = Clinician(known.name, known.role, known.key, known.added_at, _stamp(now))
    record(home, "clinician-withdrawn", clinician=name, key=known.key.key_id)
    _write(_path(home, name), gone, None)
    return gone


def clinicians(home: SiteHome) -> tuple[Clinician, ...]:
    """Everybody who signs or signed at this site, by name. Raises ``clinician-damaged``."""
    folder = home.keys / "clinicians"
    if not folder.is_dir():
        return ()
    return tuple(_clinician(path) for path in sorted(folder.glob("*.toml")))


def find_clinician(home: SiteHome, name: str) -> Clinician:
    """One clinician. Raises ``clinician-unknown``, ``clinician-damaged``."""
    path = _path(home, name)
    if not _NAME.fullmatch(name) or not path.exists():
        raise GaitkeeperError("clinician-unknown", name=name)
    return _clinician(path)


def unlock_clinician(home: SiteHome, name: str, passphrase: str) -> Signer:
    """Open a clinician's key. Raises ``clinician-unknown``, ``clinician-withdrawn``, ``passphrase-wrong``,
    ``clinician-damaged``."""
    known = find_clinician(home, name)
    if known.withdrawn_at is not None:
        raise GaitkeeperError("clinician-withdrawn", name=name, at=known.withdrawn_at)
    path = _path(home, name)
    try:
        table = _table(path)
        stretched = stretch(passphrase, bytes.fromhex(table["salt"]), table["scrypt"])
        sealed = bytes.fromhex(table["sealed"])
    except (KeyError, TypeError, ValueError) as error:
        raise GaitkeeperError("clinician-damaged", path=path, detail=error) from error
    try:
        raw = unseal(stretched, sealed, _context(name), what="a clinician's key")
    except GaitkeeperError as error:
        raise GaitkeeperError("clinician-passphrase-wrong", name=name) from error
    key = SigningKey.from_raw(raw)
    if key.verifying != known.key:
        raise GaitkeeperError("clinician-damaged", path=path, detail="its two keys do not belong together")
    return Signer(known, key)


def _sealed(key: SigningKey, name: str, passphrase: str, scrypt_n: int) -> dict[str, Any]:
    """A private key behind a passphrase, as the file holds it."""
    salt, parameters = secrets.token_bytes(16), {"n": scrypt_n, "r": 8, "p": 1}
    sealed = seal(stretch(passphrase, salt, parameters), key.private.private_bytes_raw(), _context(name))
    return {"salt": salt.hex(), "sealed": sealed.hex(), "scrypt": parameters}


def _write(path: Path, clinician: Clinician, secret: dict[str, Any] | None) -> None:
    import tomli_w

    table: dict[str, Any] = {
        "format": _FORMAT,
        "name": clinician.name,
        "role": clinician.role,
        "public": clinician.key.raw.hex(),
        "added_at": clinician.added_at,
    }
    if clinician.withdrawn_at is not None:
        table["withdrawn_at"] = clinician.withdrawn_at
    write_durably(path, tomli_w.dumps(table | (secret or {})).encode("utf-8"))


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        if table["format"] != _FORMAT or table["name"] != path.stem:
            raise ValueError("it is not what its name says")
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise GaitkeeperError("clinician-damaged", path=path, detail=error) from error
    return table


def _clinician(path: Path) -> Clinician:
    table = _table(path)
    try:
        public = VerifyingKey(bytes.fromhex(table["public"]))
        texts = [table["name"], table["role"], table["added_at"]]
        withdrawn = table.get("withdrawn_at")
        if not all(isinstance(text, str) for text in texts) or not isinstance(withdrawn, str | None):
            raise ValueError("a text was expected")
    except (ValueError, KeyError, TypeError) as error:
        raise GaitkeeperError("clinician-damaged", path=path, detail=error) from error
    return Clinician(texts[0], texts[1], public, texts[2], withdrawn)


def _path(home: SiteHome, name: str) -> Path:
    return home.keys / "clinicians" / f"{name}.toml"


def _context(name: str) -> SealContext:
    return SealContext("clinician-key", (name,))


def _stamp(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
