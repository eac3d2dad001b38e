"""A passphrase: where it is read from, and the key that is made of it.

It is read from a terminal, from a file that an environment variable names, or from a pipe on standard input, never from
the command line, and stretched with scrypt (RFC 7914, doi:10.17487/RFC7914).
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Any

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import KEY_BYTES

PASSPHRASE_FILE_VARIABLE = "GAITKEEPER_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
NEW_PASSPHRASE_FILE_VARIABLE = "GAITKEEPER_NEW_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
BACKUP_PASSPHRASE_FILE_VARIABLE = "GAITKEEPER_BACKUP_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
LEAST_PASSPHRASE = 12
SCRYPT_N = 2**17
"""128 MiB and about half a second: the interactive setting that OWASP's password storage cheat sheet gives."""
_SCRYPT_MOST_N = 2**20  # a damaged file must not make us allocate all memory


def read_passphrase(prompt: str, *, confirm: bool = False, variable: str = PASSPHRASE_FILE_VARIABLE) -> str:
    """The passphrase: from the file that ``variable`` names in the environment, the terminal, or a pipe on standard
    input. Raises ``passphrase-missing``, ``passphrase-differs``, ``passphrase-file`` or ``site-key-permissions``."""
    if named := os.environ.get(variable):
        return _passphrase_of_file(Path(named), variable)
    if sys.stdin is None or sys.stdin.closed:
        raise GaitkeeperError("passphrase-missing", detail="there is no terminal", variable=variable)
    if sys.stdin.isatty():
        passphrase = getpass.getpass(prompt)
        if confirm and getpass.getpass("The same again: ") != passphrase:
            raise GaitkeeperError("passphrase-differs")
    else:
        passphrase = sys.stdin.readline().rstrip("\r\n")
    if not passphrase:
        raise GaitkeeperError("passphrase-missing", detail="it is empty", variable=variable)
    return passphrase


def stretch(passphrase: str, salt: bytes, parameters: dict[str, Any]) -> bytes:
    """A key out of a passphrase, by scrypt with ``n``, ``r``, ``p`` of ``parameters``. Raises ``ValueError``."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    n, r, p = (int(parameters[name]) for name in ("n", "r", "p"))
    if not (2 <= n <= _SCRYPT_MOST_N and 1 <= r <= 32 and 1 <= p <= 16):
        raise ValueError("the scrypt parameters are out of range")
    return Scrypt(salt=salt, length=KEY_BYTES, n=n, r=r, p=p).derive(passphrase.encode("utf-8"))


def private_bytes(path: Path) -> bytes:
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


def _passphrase_of_file(path: Path, variable: str) -> str:
    try:
        text = private_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GaitkeeperError("passphrase-file", path=path, detail="it is not UTF-8 text", variable=variable) from error
    except GaitkeeperError as error:
        if error.code == "site-key-permissions":
            raise
        raise GaitkeeperError("passphrase-file", path=path, detail="it cannot be read", variable=variable) from error
    first = text.splitlines()[0] if text.strip() else ""
    if not first:
        raise GaitkeeperError("passphrase-file", path=path, detail="its first line is empty", variable=variable)
    return first
