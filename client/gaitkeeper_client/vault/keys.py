"""The site's key: a key file that only its owner may read, or a key sealed by a passphrase.

Everything secret at a site is derived from it or wrapped by it. A passphrase is stretched with scrypt (RFC 7914,
doi:10.17487/RFC7914), whose parameters are stored beside the sealed key; it is read from a terminal, from the file that
``GAITKEEPER_PASSPHRASE_FILE`` names, or from a pipe on standard input, never from the command line.
"""

from __future__ import annotations

import getpass
import os
import secrets
import stat
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaitkeeper_client.vault.home import KeyMode, SiteHome
from gaitkeeper_shared.durable import make_private_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import KEY_BYTES, SealContext, derive_key, new_key, seal, unseal

PASSPHRASE_FILE_VARIABLE = "GAITKEEPER_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
LEAST_PASSPHRASE = 12
SCRYPT_N = 2**17
"""128 MiB and about half a second: the interactive setting that OWASP's password storage cheat sheet gives."""
_SCRYPT_MOST_N = 2**20  # a damaged file must not make us allocate all memory
_KEY_HEADER = "gaitkeeper-site-key/1 "
_SEALED_FORMAT = "gaitkeeper.sealed-key/1"
_CONTEXT = SealContext("site-key", ())


@dataclass(frozen=True, slots=True)
class SiteKey:
    """The site's opened key. Its bytes appear in no representation, so that no log can hold them."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """A 256-bit key for one purpose, for example ``vault/wrap``."""
        return derive_key(self.secret, purpose)


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
    key = SiteKey(new_key())
    if passphrase is None:
        write_durably(home.key_file, f"{_KEY_HEADER}{key.secret.hex()}\n".encode())
    else:
        write_durably(home.sealed_key_file, _sealed(key, passphrase, scrypt_n))
    return key


def unlock(home: SiteHome) -> SiteKey:
    """Open the site's key as its settings say. Asks for the passphrase where one is needed."""
    mode: KeyMode = home.config().key_mode
    if mode == "file":
        return _read_key_file(home.key_file)
    return open_sealed(home.sealed_key_file, read_passphrase("Passphrase of this site: "))


def read_passphrase(prompt: str, *, confirm: bool = False) -> str:
    """The passphrase: from the file that is named by the environment, the terminal, or a pipe on standard input."""
    if named := os.environ.get(PASSPHRASE_FILE_VARIABLE):
        return _passphrase_of_file(Path(named))
    if sys.stdin is None or sys.stdin.closed:
        raise GaitkeeperError("passphrase-missing", detail="there is no terminal")
    if sys.stdin.isatty():
        passphrase = getpass.getpass(prompt)
        if confirm and getpass.getpass("The same again: ") != passphrase:
            raise GaitkeeperError("passphrase-differs")
    else:
        passphrase = sys.stdin.readline().rstrip("\r\n")
    if not passphrase:
        raise GaitkeeperError("passphrase-missing", detail="it is empty")
    return passphrase


def open_sealed(path: Path, passphrase: str) -> SiteKey:
    """Open a key sealed by a passphrase. Raises ``passphrase-wrong``, ``site-key-missing``, ``site-key-damaged``."""
    data = _private_bytes(path)
    try:
        table = tomllib.loads(data.decode("utf-8"))
        if table["format"] != _SEALED_FORMAT:
            raise ValueError(f"format {table['format']!r}")
        salt, sealed = bytes.fromhex(table["salt"]), bytes.fromhex(table["sealed"])
        stretched = _stretch(passphrase, salt, table["scrypt"])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise GaitkeeperError("site-key-damaged", path=path, detail=error) from error
    try:
        return SiteKey(unseal(stretched, sealed, _CONTEXT, what="the site's key"))
    except GaitkeeperError as error:
        raise GaitkeeperError("passphrase-wrong") from error


def _sealed(key: SiteKey, passphrase: str, n: int) -> bytes:
    import tomli_w

    salt, parameters = secrets.token_bytes(16), {"n": n, "r": 8, "p": 1}
    sealed = seal(_stretch(passphrase, salt, parameters), key.secret, _CONTEXT)
    table = {"format": _SEALED_FORMAT, "salt": salt.hex(), "sealed": sealed.hex(), "scrypt": parameters}
    return tomli_w.dumps(table).encode("utf-8")


def _stretch(passphrase: str, salt: bytes, parameters: dict[str, Any]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    n, r, p = (int(parameters[name]) for name in ("n", "r", "p"))
    if not (2 <= n <= _SCRYPT_MOST_N and 1 <= r <= 32 and 1 <= p <= 16):
        raise ValueError("the scrypt parameters are out of range")
    return Scrypt(salt=salt, length=KEY_BYTES, n=n, r=r, p=p).derive(passphrase.encode("utf-8"))


def _read_key_file(path: Path) -> SiteKey:
    text = _private_bytes(path).decode("ascii", errors="replace")
    try:
        if not text.startswith(_KEY_HEADER):
            raise ValueError("it does not begin with " + _KEY_HEADER.strip())
        secret = bytes.fromhex(text.removeprefix(_KEY_HEADER).strip())
        if len(secret) != KEY_BYTES:
            raise ValueError(f"{len(secret)} bytes instead of {KEY_BYTES}")
    except ValueError as error:
        raise GaitkeeperError("site-key-damaged", path=path, detail=error) from error
    return SiteKey(secret)


def _private_bytes(path: Path) -> bytes:
    """The bytes of a file that only its owner may read; mode and bytes are taken from one open file."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (0o037 if _is_credential(path) else 0o077):
                raise GaitkeeperError("site-key-permissions", path=path, mode=f"{mode:04o}")
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GaitkeeperError("site-key-missing", path=path) from error
    except OSError as error:
        raise GaitkeeperError("site-key-damaged", path=path, detail=error.strerror) from error


def _is_credential(path: Path) -> bool:
    """Whether systemd handed the file over: its folder lets in nobody but the service, its files are mode 0440."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and Path(folder).resolve() in path.resolve().parents


def _passphrase_of_file(path: Path) -> str:
    try:
        text = _private_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GaitkeeperError("passphrase-file", path=path, detail="it is not UTF-8 text") from error
    except GaitkeeperError as error:
        if error.code == "site-key-permissions":
            raise
        raise GaitkeeperError("passphrase-file", path=path, detail="it cannot be read") from error
    first = text.splitlines()[0] if text.strip() else ""
    if not first:
        raise GaitkeeperError("passphrase-file", path=path, detail="its first line is empty")
    return first
