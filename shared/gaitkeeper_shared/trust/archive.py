"""An encrypted archive: files in one stream, sealed in chunks under a passphrase.

A header (format, scrypt parameters, salt, a random id), then chunks of at most 1 MiB, each sealed by AES-256-GCM and
bound to the archive's id, its own number and whether it is the last: none can be changed, left out, moved, repeated or
cut off unseen. Inside is a tar stream of regular files.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gaitkeeper_shared.durable import (
    full_disk_is_an_error,
    is_temporary,
    make_private_folder,
    sync_folder,
    write_durably,
)
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal
from gaitkeeper_shared.trust.passphrase import LEAST_PASSPHRASE, SCRYPT_N, stretch

_CHUNK = 1 << 20
_MOST_SEALED = _CHUNK + 64
_MOST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class ArchiveKind:
    """What an archive is of. ``magic``: its first bytes; ``chunk``: what its chunks are bound to; ``spoken``: its name
    in messages."""

    magic: bytes
    chunk: str
    spoken: str


SITE_BACKUP = ArchiveKind(b"gaitkeeper.backup/1\n", "backup-chunk", "site's backup")
COORDINATOR_BACKUP = ArchiveKind(
    b"gaitkeeper.coordinator-backup/1\n", "coordinator-backup-chunk", "coordinator's backup"
)
_KINDS = (SITE_BACKUP, COORDINATOR_BACKUP)
_LONGEST_MAGIC = max(len(kind.magic) for kind in _KINDS)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive. ``name``: relative, with forward slashes."""

    name: str
    data: bytes


def write_archive(
    path: Path,
    members: Iterable[Member],
    passphrase: str,
    *,
    kind: ArchiveKind = SITE_BACKUP,
    scrypt_n: int = SCRYPT_N,
) -> str:
    """Write a new archive, durably; its random id.

    Raises ``passphrase-weak``, ``backup-exists``, ``backup-unusable`` or ``disk-full``; then nothing is left.
    """
    if len(passphrase) < LEAST_PASSPHRASE:
        raise GaitkeeperError("passphrase-weak", least=LEAST_PASSPHRASE)
    if path.exists():
        raise GaitkeeperError("backup-exists", path=path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    archive_id, salt, parameters = secrets.token_hex(16), secrets.token_bytes(16), {"n": scrypt_n, "r": 8, "p": 1}
    header = json.dumps({"id": archive_id, "salt": salt.hex(), "scrypt": parameters}).encode("ascii")
    key = stretch(passphrase, salt, parameters)
    try:
        with (
            full_disk_is_an_error(path),
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        ):
            file.write(kind.magic + len(header).to_bytes(4, "big") + header)
            sink = _Sealing(file, key, kind, archive_id)
            with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for member in members:
                    entry = tarfile.TarInfo(member.name)
                    entry.size, entry.mode = len(member.data), 0o600
                    tar.addfile(entry, io.BytesIO(member.data))
            sink.finish()
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, never replaces what somebody else has put there meanwhile
    except FileExistsError as error:
        raise GaitkeeperError("backup-exists", path=path) from error
    except OSError as error:
        raise GaitkeeperError("backup-unusable", path=path, detail=error.strerror or error) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return archive_id


def read_back(path: Path, passphrase: str, *, kind: ArchiveKind = SITE_BACKUP) -> None:
    """Read an archive that was just written to its end; where it cannot be, it is removed. Raises as
    :func:`read_archive`."""
    try:
        for _ in read_archive(path, passphrase, kind=kind):
            pass
    except GaitkeeperError:
        path.unlink(missing_ok=True)
        raise


def unpack(path: Path, passphrase: str, folder: Path, *, kind: ArchiveKind = SITE_BACKUP) -> None:
    """Write the files of an archive into a new folder, each durably and for the owner alone. Raises as
    :func:`read_archive`; what is in the folder then is to be thrown away."""
    make_private_folder(folder)
    for member in read_archive(path, passphrase, kind=kind):
        target = folder / member.name
        make_private_folder(target.parent)
        write_durably(target, member.data)


def read_archive(path: Path, passphrase: str, *, kind: ArchiveKind = SITE_BACKUP) -> Iterator[Member]:
    """The members of an archive, in order, each only after its chunks were found whole.

    Raises ``backup-unusable`` for a wrong passphrase and for any changed, missing or added byte; the last only at the
    end, so that nothing may be used before the iteration has ended.
    """
    try:
        with path.open("rb") as file:
            source = _Unsealing(file, path, kind, passphrase)
            with tarfile.open(fileobj=source, mode="r|") as tar:
                for entry in tar:
                    content = tar.extractfile(entry) if entry.isreg() else None
                    if content is None or not _is_plain(entry.name):
                        raise _unusable(path, "it holds something that is not a plain file")
                    yield Member(entry.name, content.read())
            source.expect_end()
    except (tarfile.TarError, EOFError) as error:
        raise _unusable(path, "its content cannot be read") from error
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def folder_members(
    home: Path, folder: Path, *, without: Callable[[Path], bool] = lambda path: False
) -> Iterator[Member]:
    """The plain files under ``folder``, named from ``home``; not links, half-written files and those ``without``."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not is_temporary(path.name) and not without(path):
            yield Member(path.relative_to(home).as_posix(), path.read_bytes())


def audit_members(log: Path) -> Iterator[Member]:
    """An audit log as far as its anchor knows it: lines that come meanwhile are not in."""
    if not log.exists():
        return
    head = AuditLog(log).head()
    anchor = log.with_name(log.name + ".anchor").read_bytes()
    lines = log.read_bytes().splitlines(keepends=True)[: head.sequence]
    yield Member(log.name, b"".join(lines))
    yield Member(log.name + ".anchor", anchor)


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not PurePosixPath(name).is_absolute() and ".." not in parts and "\0" not in name


def _unusable(path: Path, detail: str) -> GaitkeeperError:
    return GaitkeeperError("backup-unusable", path=path, detail=detail)


def _context(kind: ArchiveKind, archive_id: str, number: int, last: bool) -> SealContext:
    return SealContext(kind.chunk, (archive_id, str(number), "last" if last else "more"))


class _Sealing(io.RawIOBase):
    """A file to write into; what is written is sealed chunk by chunk."""

    def __init__(self, file: IO[bytes], key: bytes, kind: ArchiveKind, archive_id: str) -> None:
        self._file, self._key, self._kind, self._id = file, key, kind, archive_id
        self._number, self._pending = 0, bytearray()

    def write(self, data: bytes) -> int:  # type: ignore[override]  # tarfile gives bytes
        self._pending += data
        while len(self._pending) > _CHUNK:
            self._put(bytes(self._pending[:_CHUNK]), last=False)
            del self._pending[:_CHUNK]
        return len(data)

    def finish(self) -> None:
        """Seal what is left, as the last chunk."""
        self._put(bytes(self._pending), last=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        sealed = seal(self._key, chunk, _context(self._kind, self._id, self._number, last))
        self._file.write(len(sealed).to_bytes(4, "big") + bytes([last]) + sealed)
        self._number += 1


class _Unsealing(io.RawIOBase):
    """A file to read from; each chunk is opened before a byte of it is handed out."""

    def __init__(self, file: IO[bytes], path: Path, kind: ArchiveKind, passphrase: str) -> None:
        self._file, self._path, self._kind = file, path, kind
        self._number, self._pending, self._ended = 0, b"", False
        self._id, self._key = self._open(passphrase)

    def _open(self, passphrase: str) -> tuple[str, bytes]:
        first = self._file.readline(_LONGEST_MAGIC)
        if first != self._kind.magic:
            other = next((f"a {kind.spoken}" for kind in _KINDS if kind.magic == first), "no backup")
            raise _unusable(self._path, f"it is {other}, where a {self._kind.spoken} is needed")
        size = int.from_bytes(self._file.read(4), "big")
        try:
            if size > _MOST_HEADER:
                raise ValueError("its header is too long")
            table = json.loads(self._file.read(size))
            return str(table["id"]), stretch(passphrase, bytes.fromhex(table["salt"]), table["scrypt"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unusable(self._path, f"its header cannot be read ({error})") from error

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        while not self._ended and (size < 0 or len(self._pending) < size):
            self._pending += self._chunk()
        taken = self._pending if size < 0 else self._pending[:size]
        self._pending = self._pending[len(taken) :]
        return taken

    def expect_end(self) -> None:
        """Read on to the last chunk. Raises ``backup-unusable`` where something follows it, or it is missing."""
        while not self._ended:
            self._chunk()
        if self._file.read(1):
            raise _unusable(self._path, "something was added at its end")

    def _chunk(self) -> bytes:
        head = self._file.read(5)
        size = int.from_bytes(head[:4], "big")
        sealed = self._file.read(size) if len(head) == 5 and size <= _MOST_SEALED else b""
        if len(head) != 5 or len(sealed) != size or head[4] not in (0, 1):
            raise _unusable(self._path, "it is cut off or damaged")
        last = bool(head[4])
        try:
            chunk = unseal(self._key, sealed, _context(self._kind, self._id, self._number, last), what="a chunk")
        except GaitkeeperError as error:
            detail = "the passphrase is wrong, or it is damaged" if self._number == 0 else "it is damaged"
            raise _unusable(self._path, detail) from error
        self._number, self._ended = self._number + 1, last
        return chunk
