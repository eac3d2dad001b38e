"""The audit log: what was done, when, in an order that cannot be changed unseen.

JSON lines, each with the hash of the line before. A second small file, the anchor, holds the last line's number and
hash, so that a cut-off tail is found too. A chain proves that nobody edited or removed a line after the fact without
rewriting all that follows; against somebody who rewrites both files, note :meth:`AuditLog.head` elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gaitkeeper_shared.durable import full_disk_is_an_error, prepare_file, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.printable import printable
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now

GENESIS = "0" * 64
_BLOCK = 65_536

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line. ``sequence`` counts from 1; ``hash`` covers all the other fields."""

    sequence: int
    at: str
    event: str
    facts: MappingProxyType[str, Fact]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Number and hash of the last line; (0, zeros) for an empty log."""

    sequence: int
    hash: str


class AuditLog:
    """The log at ``path``. Safe for several processes and threads at once; each entry is on the disk when told."""

    def __init__(self, path: Path, *, clock: Clock = utc_now) -> None:
        self.path = path
        self._anchor = path.with_name(path.name + ".anchor")
        self._lock = path.with_name(path.name + ".lock")
        self._clock = clock

    def append(self, event: str, **facts: Fact | os.PathLike[str]) -> AuditEntry:
        """Record ``event``. Facts are names of sites, studies, versions; never a patient's data."""
        plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in facts.items()}
        with self._locked(), _append_descriptor(self.path) as file:
            head = self._mend_tail(file)
            if head.sequence > self._read_anchor().sequence:
                self._write_anchor(head)  # a crash came between a line and its anchor: never two lines ahead
            entry = _entry(head.sequence + 1, iso(self._clock()), event, plain, head.hash)
            file.seek(0, os.SEEK_END)
            with full_disk_is_an_error(self.path):  # what was written of the line is cut off by the next append
                _write_all(file, _line(entry))
                os.fsync(file.fileno())
            if entry.sequence == 1:
                sync_folder(self.path.parent)
            self._write_anchor(AuditHead(entry.sequence, entry.hash))
        return entry

    def entries(self) -> Iterator[AuditEntry]:
        """Every line in order, checked as it is read. Raises ``audit-broken``."""
        sequence, previous = 0, GENESIS
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                sequence += 1
                if not line.endswith(b"\n"):
                    return  # being written, or torn by a power cut before anyone was told; verify() decides
                entry = self._parse(line, sequence)
                if entry.sequence != sequence or entry.previous != previous:
                    raise self._broken(sequence, "a line before it was removed, added or changed")
                previous = entry.hash
                yield entry

    def verify(self) -> AuditHead:
        """Check every line and the anchor; the head. Raises ``audit-broken`` naming the first bad line."""
        with self._locked():
            anchor = self._read_anchor()
            head = AuditHead(0, GENESIS)
            for entry in self.entries():
                head = AuditHead(entry.sequence, entry.hash)
                if entry.sequence == anchor.sequence and entry.hash != anchor.hash:
                    raise self._broken(entry.sequence, "it is not the line that the anchor names")
            if head.sequence < anchor.sequence:
                raise self._broken(head.sequence + 1, f"lines up to {anchor.sequence} were removed from the end")
            # One line more than the anchor names is what a crash between the two writes leaves.
            if head.sequence > anchor.sequence + 1:
                raise self._broken(anchor.sequence + 2, "the anchor does not know it")
            return head

    def head(self) -> AuditHead:
        """The last line's number and hash, as the anchor has it: what to note elsewhere."""
        return self._read_anchor()

    def _mend_tail(self, file: FileIO) -> AuditHead:
        """Cut a torn last line, which nobody was told of, and return the last whole line's number and hash."""
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            if self._read_anchor().sequence:
                raise self._broken(1, "the log was emptied or replaced")
            return AuditHead(0, GENESIS)
        tail = _last_lines(file, size)
        whole, _, torn = tail.rpartition(b"\n")
        if not whole and self._read_anchor().sequence:
            raise self._broken(1, "the log was emptied or replaced")
        if torn:
            file.truncate(size - len(torn))
        if not whole:
            return AuditHead(0, GENESIS)
        last = whole.rpartition(b"\n")[2] + b"\n"
        entry = self._parse(last, 0)
        if entry.sequence < self._read_anchor().sequence:
            raise self._broken(entry.sequence + 1, "lines were removed from the end")
        return AuditHead(entry.sequence, entry.hash)

    def _parse(self, line: bytes, number: int) -> AuditEntry:
        try:
            row: dict[str, Any] = json.loads(line)
            made = _entry(row["sequence"], row["at"], row["event"], row["facts"], row["previous"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._broken(number, "it cannot be read") from error
        if row.get("hash") != made.hash or _line(made) != line:
            raise self._broken(number or made.sequence, "its text does not fit its hash")
        return made

    def _write_anchor(self, head: AuditHead) -> None:
        write_durably(self._anchor, _canonical({"sequence": head.sequence, "hash": head.hash}))

    def _read_anchor(self) -> AuditHead:
        try:
            row = json.loads(self._anchor.read_bytes())
            return AuditHead(int(row["sequence"]), str(row["hash"]))
        except FileNotFoundError:
            return AuditHead(0, GENESIS)
        except (ValueError, KeyError, TypeError) as error:
            raise self._broken(0, "its anchor cannot be read") from error

    def _broken(self, line: int, detail: str) -> GaitkeeperError:
        return GaitkeeperError("audit-broken", path=self.path, line=line, detail=detail)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        prepare_file(self._lock)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for the length of one fsync; the kernel drops it on a kill
            yield
        finally:
            os.close(descriptor)


def show_audit(log: AuditLog, say: Callable[[str], object], *, last: int = 20, as_json: bool = False) -> None:
    """Check the log, then print its last entries (``as_json``: all of them, a line each) and its head."""
    head = log.verify()
    if as_json:
        for entry in log.entries():
            say(_line(entry).decode("ascii").rstrip())
        return
    for entry in deque(log.entries(), maxlen=last):
        facts = printable("  ".join(f"{name}={value}" for name, value in sorted(entry.facts.items())), 2_000)
        say(f"{entry.sequence:>6}  {entry.at[:19]}Z  {entry.event}  {facts}")
    say(f"Whole: {head.sequence} entries. To be noted elsewhere: {head.hash}")


@contextlib.contextmanager
def _append_descriptor(path: Path) -> Iterator[FileIO]:
    prepare_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        yield file


def _write_all(file: FileIO, data: bytes) -> None:
    # A disk that gets full takes a part first, without an error.
    while data:
        data = data[file.write(data) :]


def _last_lines(file: FileIO, size: int) -> bytes:
    """The end of the file, far enough back to hold the last whole line and what follows it."""
    start = size
    tail = b""
    while start > 0 and tail.count(b"\n") < 2:
        start = max(0, start - _BLOCK)
        file.seek(start)
        tail = file.read(size - start)
    return tail


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _entry(sequence: int, at: str, event: str, facts: dict[str, Fact], previous: str) -> AuditEntry:
    body = {"sequence": sequence, "at": at, "event": event, "facts": facts, "previous": previous}
    return AuditEntry(
        sequence, at, event, MappingProxyType(dict(facts)), previous, hashlib.sha256(_canonical(body)).hexdigest()
    )


def _line(entry: AuditEntry) -> bytes:
    body = {
        "sequence": entry.sequence,
        "at": entry.at,
        "event": entry.event,
        "facts": dict(entry.facts),
        "previous": entry.previous,
        "hash": entry.hash,
    }
    return _canonical(body) + b"\n"
