"""Durable files: written, flushed and renamed before anyone is told, so that a kill leaves the old file or the new one.

A full disk (or quota) becomes the catalogue's ``disk-full`` here, once, for every part that keeps something.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from gaitkeeper_shared.errors import GaitkeeperError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def full_disk_is_an_error(path: Path) -> Iterator[None]:
    """Turn "no space left" (also a quota or a file size limit) inside the block into ``disk-full``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise GaitkeeperError("disk-full", path=path, detail=error.strerror) from error
        raise


def make_private_folder(path: Path) -> Path:
    """Create ``path`` and its parents, durably; only the owner may enter the folder itself. Gives ``path`` back.

    One that is there and lets others in is closed to them. Raises ``disk-full``.
    """
    with full_disk_is_an_error(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in reversed(missing):
            _leave_to_owner(folder, missing[-1].parent)
        # A folder of somebody else's, such as a volume that an administrator made, is his to close.
        with contextlib.suppress(PermissionError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o700)
        for folder in missing:
            with contextlib.suppress(PermissionError):
                sync_folder(folder.parent)
    return path


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data``: temporary file in the same folder, fsync, rename, fsync of the folder.

    ``mode`` are the permission bits, set before a byte is written. On any error the old file stays and the temporary
    one is removed. Raises ``disk-full``.
    """
    with full_disk_is_an_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)  # whatever the umask
                _leave_to_owner(file.fileno(), path if path.exists() else path.parent)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _leave_to_owner(made: int | Path, beside: Path) -> None:
    """What root makes in a private folder of somebody else's, a service's user mostly, becomes that user's, who could
    not read it otherwise. ``beside``: the file that is replaced, or the folder that it comes into."""
    if os.geteuid() == 0 and (owner := _other_owner(beside)) is not None:
        with contextlib.suppress(PermissionError):  # a file system that squashes root
            if isinstance(made, int):
                os.fchown(made, *owner)
            else:
                os.lchown(made, *owner)


def _other_owner(path: Path) -> tuple[int, int] | None:
    """User and group of what is somebody else's than root's and closed to all others."""
    found = path.lstat()
    return (found.st_uid, found.st_gid) if found.st_uid != 0 and not found.st_mode & 0o077 else None


def prepare_file(path: Path) -> None:
    """Before a library makes a file: where root is about to, in a private folder of somebody else's, make it his, and
    empty."""
    if os.geteuid() == 0 and path.parent.stat().st_uid != 0 and not path.exists():
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _leave_to_owner(handle, path.parent)
            finally:
                os.close(handle)


def leave_tree_to_owner(folder: Path, beside: Path | None = None) -> None:
    """The same for all that was made below ``folder``, by the owner of the folder that this one lies in, or ``beside``.

    That owner may change things meanwhile: no link is followed, and nothing that has a second name is given away.
    """
    if os.geteuid() != 0 or not folder.exists() or (owner := _other_owner(beside or folder.parent)) is None:
        return
    _leave_to_owner(folder, beside or folder.parent)
    for _, folders, files, handle in os.fwalk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                    os.chown(name, *owner, dir_fd=handle, follow_symlinks=False)


def sync_folder(path: Path) -> None:
    """Make renames and removals in the folder ``path`` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that a kill left half-written; its folder's owner may remove it."""
    return name.startswith(".") and name.endswith(".tmp")
