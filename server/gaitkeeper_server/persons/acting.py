"""Which person gives a command, told by the operating system: nobody has to keep a further secret.

A coordinator's folder belongs to one user, mostly the service's own. Other people come by ``sudo -u`` that user, and
sudo says who they are: ``SUDO_UID`` is set by sudo itself, over whatever its caller had set.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_shared.accounts import name_or_number
from gaitkeeper_shared.errors import GaitkeeperError

_SUDO_UID = "SUDO_UID"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the coordinator's machine. ``owner``: has the files, so that no role could keep him from anything."""

    name: str
    uid: int
    owner: bool


def acting_person(home: CoordinatorHome) -> Person:
    """Who gives the present command at ``home``.

    The owner is who runs as the folder's own user, or as root, and did not come to that user by sudo as somebody else.
    Raises ``user-unknown``, or ``home-not-safe`` where a person who came by sudo names a folder that people other
    than its user could have made up or could exchange: the roles in it would be those that suit them.
    """
    euid = os.geteuid()
    through_sudo = _sudo_uid()
    if euid == 0:
        return Person(
            name_or_number(0) if not through_sudo else f"{name_or_number(through_sudo)} as {name_or_number(0)}", 0, True
        )
    if not through_sudo or through_sudo == euid:
        return Person(name_or_number(euid), euid, euid == _owner(home.path))
    _check_safe(home.path, euid)
    return Person(name_or_number(through_sudo), through_sudo, False)


def uid_of(name: str) -> int:
    """The number of a user of this machine. Raises ``user-unknown``."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError) as error:
        raise GaitkeeperError("user-unknown", name=name[:64]) from error


def _sudo_uid() -> int:
    """0 where nobody, or root, used sudo."""
    text = os.environ.get(_SUDO_UID, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise GaitkeeperError("user-unknown", name=text[:64])
    return int(text)


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _check_safe(path: Path, euid: int) -> None:
    """The folder is its user's alone, and nobody else can put another in its place: as sshd asks of its files."""
    try:
        real = path.resolve(strict=True)
        if real.stat().st_uid != euid:
            raise GaitkeeperError("home-not-safe", path=path, detail=f"{real} is not {name_or_number(euid)}'s")
        for folder in (real, *real.parents):
            found = folder.stat()
            others_write = found.st_mode & 0o022 and not (found.st_mode & stat.S_ISVTX and folder != real)
            if found.st_uid not in (0, euid) or others_write:
                raise GaitkeeperError("home-not-safe", path=path, detail=f"others may change {folder}")
    except OSError as error:
        raise GaitkeeperError("home-not-safe", path=path, detail=error.strerror) from error
