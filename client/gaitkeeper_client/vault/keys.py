"""The site's key: a key file that only its owner may read, or a key sealed by a passphrase.

Everything secret at a site is derived from it or wrapped by it. Beside it lies the site's identity secret: by it
patients are found again, so it stays the same when the key is rotated. How a passphrase is read and stretched:
:mod:`gaitkeeper_shared.trust.passphrase`; the parameters are stored beside the sealed key.
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from gaitkeeper_client.vault.home import KeyMode, SiteHome
from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import KEY_BYTES, SealContext, derive_key, new_key, seal, unseal
from gaitkeeper_shared.trust.passphrase import (
    BACKUP_PASSPHRASE_FILE_VARIABLE,
    LEAST_PASSPHRASE,
    NEW_PASSPHRASE_FILE_VARIABLE,
    PASSPHRASE_FILE_VARIABLE,
    SCRYPT_N,
    private_bytes,
    read_passphrase,
    stretch,
)

__all__ = [
    "BACKUP_PASSPHRASE_FILE_VARIABLE",
    "LEAST_PASSPHRASE",
    "NEW_PASSPHRASE_FILE_VARIABLE",
    "PASSPHRASE_FILE_VARIABLE",
    "SCRYPT_N",
    "SiteKey",
    "create_key",
    "current_key",
    "drop_next_keys",
    "keep_key",
    "open_sealed",
    "read_passphrase",
    "stretch",
    "unlock",
]

_KEY_HEADER = "gaitkeeper-site-key/2 "
_KEY_HEADER_1 = "gaitkeeper-site-key/1 "
"""Of a site that was made before there was an identity secret: its first key is that, too."""
_SEALED_FORMATS = ("gaitkeeper.sealed-key/1", "gaitkeeper.sealed-key/2")
_CONTEXT = SealContext("site-key", ())


@dataclass(frozen=True, slots=True)
class SiteKey:
    """The site's opened key. Its bytes appear in no representation, so that no log can hold them.

    ``secret``: opens the vault; a rotation replaces it. ``identity``: outlives rotations; empty where the site was made
    without one, and then ``secret`` takes its place.
    """

    secret: bytes = field(repr=False)
    identity: bytes = field(repr=False, default=b"")

    def derive(self, purpose: str) -> bytes:
        """A 256-bit key for one purpose, for example ``vault/wrap``; another one after a rotation."""
        return derive_key(self.secret, purpose)

    def identify(self, purpose: str) -> bytes:
        """A 256-bit key by which the same patient is the same for as long as the site lives: for lookups, pseudonyms,
        and who is kept out of training."""
        return derive_key(self.identity or self.secret, purpose)

    def rotated(self) -> SiteKey:
        """A fresh key with the same identity."""
        return SiteKey(new_key(), self.identity or self.secret)

    @property
    def payload(self) -> bytes:
        """Key and identity, as they are sealed."""
        return self.secret + self.identity


def create_key(home: SiteHome, *, passphrase: str | None = None, scrypt_n: int = SCRYPT_N) -> SiteKey:
    """Make and keep a new site key. Raises ``passphrase-weak``; never overwrites a key that a vault needs."""
    if passphrase is not None and len(passphrase) < LEAST_PASSPHRASE:
        raise GaitkeeperError("passphrase-weak", least=LEAST_PASSPHRASE)
    if home.config_file.exists() or (home.vault.is_dir() and any(home.vault.iterdir())):
        raise GaitkeeperError("site-exists", path=home.path)
    for left_over in (home.key_file, home.sealed_key_file):  # of an init that was killed before it settled the home
        left_over.unlink(missing_ok=True)
    make_private_folder(home.path)
    make_private_folder(home.keys)
    key = SiteKey(new_key(), new_key())
    keep_key(home, key, passphrase, scrypt_n=scrypt_n)
    return key


def keep_key(
    home: SiteHome, key: SiteKey, passphrase: str | None, *, next_: bool = False, scrypt_n: int = SCRYPT_N
) -> None:
    """Write a key durably: as a key file, or sealed where there is a passphrase.

    ``next_``: beside the key in use, as the one that a rotation is about to put in its place.
    """
    if passphrase is None:
        write_durably(_next(home.key_file) if next_ else home.key_file, _key_file(key))
    else:
        path = home.sealed_key_file
        write_durably(_next(path) if next_ else path, _sealed(key, passphrase, scrypt_n))


def unlock(home: SiteHome) -> SiteKey:
    """Open the site's key as its settings say. Asks for the passphrase where one is needed.

    Where a rotation was killed half-way, the key that opens the vault is the site's.
    """
    mode: KeyMode = home.config().key_mode
    if mode == "file":
        return current_key(home, None)
    return current_key(home, read_passphrase("Passphrase of this site: "))


def current_key(home: SiteHome, passphrase: str | None) -> SiteKey:
    """The site's key; ``passphrase`` as its settings ask for one. Ends a rotation whose vault is re-wrapped already."""
    from gaitkeeper_client.vault.index import fits

    path = home.key_file if passphrase is None else home.sealed_key_file
    key = _open(path, passphrase)
    coming = _next(path)
    if coming.exists() and not fits(home.vault, key):
        newer = _open(coming, passphrase)
        if fits(home.vault, newer):
            write_durably(path, coming.read_bytes())
            return newer
    return key


def drop_next_keys(home: SiteHome) -> None:
    """Remove what a rotation, ended or given up, left beside the site's key."""
    for path in (home.key_file, home.sealed_key_file):
        _next(path).unlink(missing_ok=True)


def _open(path: Path, passphrase: str | None) -> SiteKey:
    return _read_key_file(path) if passphrase is None else open_sealed(path, passphrase)


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")


def open_sealed(path: Path, passphrase: str) -> SiteKey:
    """Open a key sealed by a passphrase. Raises ``passphrase-wrong``, ``site-key-missing``, ``site-key-damaged``."""
    import tomli_w

    data = private_bytes(path)
    try:
        table = tomllib.loads(data.decode("utf-8"))
        if table["format"] not in _SEALED_FORMATS:
            raise ValueError(f"format {table['format']!r}")
        if tomli_w.dumps(table).encode("utf-8") != data:
            raise ValueError("it is not as it was written")
        salt, sealed = bytes.fromhex(table["salt"]), bytes.fromhex(table["sealed"])
        stretched = stretch(passphrase, salt, table["scrypt"])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise GaitkeeperError("site-key-damaged", path=path, detail=error) from error
    try:
        payload = unseal(stretched, sealed, _CONTEXT, what="the site's key")
    except GaitkeeperError as error:
        raise GaitkeeperError("passphrase-wrong") from error
    return SiteKey(payload[:KEY_BYTES], payload[KEY_BYTES:])


def _sealed(key: SiteKey, passphrase: str, n: int) -> bytes:
    import tomli_w

    salt, parameters = secrets.token_bytes(16), {"n": n, "r": 8, "p": 1}
    sealed = seal(stretch(passphrase, salt, parameters), key.payload, _CONTEXT)
    table = {
        "format": _SEALED_FORMATS[bool(key.identity)],
        "salt": salt.hex(),
        "sealed": sealed.hex(),
        "scrypt": parameters,
    }
    return tomli_w.dumps(table).encode("utf-8")


def _key_file(key: SiteKey) -> bytes:
    if not key.identity:
        return f"{_KEY_HEADER_1}{key.secret.hex()}\n".encode("ascii")
    return f"{_KEY_HEADER}{key.secret.hex()} {key.identity.hex()}\n".encode("ascii")


def _read_key_file(path: Path) -> SiteKey:
    data = private_bytes(path)
    text = data.decode("ascii", errors="replace")
    header = next((known for known in (_KEY_HEADER, _KEY_HEADER_1) if text.startswith(known)), None)
    try:
        if header is None:
            raise ValueError("it does not begin with " + _KEY_HEADER.strip())
        parts = [bytes.fromhex(part) for part in text.removeprefix(header).split()]
        if [len(part) for part in parts] != [KEY_BYTES] * (2 if header == _KEY_HEADER else 1):
            raise ValueError(f"it does not hold keys of {KEY_BYTES} bytes")
        key = SiteKey(*parts)
        if _key_file(key) != data:
            raise ValueError("it is not as it was written")
    except ValueError as error:
        raise GaitkeeperError("site-key-damaged", path=path, detail=error) from error
    return key
