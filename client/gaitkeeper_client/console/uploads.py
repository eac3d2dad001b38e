"""The bytes of uploads: sealed as they come, in segments, under a key of the upload's own.

``uploads/PSEUDONYM/JOB/`` in the site's home holds ``facts.sealed`` (the upload's key wrapped by one derived from the
site's identity secret, and what was said about the recording) and a file for each segment, named by its offset. A
segment is on the disk before its sender is told. Erasing a patient removes their folder, and with it the keys.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.console.jobs import Job
from gaitkeeper_client.vault.erasure import shred
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.records import PatientFacts, encode_facts, patient_facts
from gaitkeeper_shared.durable import full_disk_is_an_error, make_private_folder, sync_folder, write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.envelope import KEY_BYTES, SealContext, new_key, seal, unseal

SEGMENT_BYTES = 8 * 1024 * 1024
_PLAIN = re.compile(r"[0-9a-f-]{8,64}|p-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class UploadFacts:
    """What was said about a recording. ``suffix``: of its file, such as ``.mp4``. ``recorded_at``: UTC, ISO 8601."""

    patient: PatientFacts
    file_name: str
    suffix: str
    recorded_at: str | None = None


class Uploads:
    """The uploads of a site."""

    def __init__(self, home: SiteHome, key: SiteKey) -> None:
        self._folder = home.uploads
        self._work = home.run / "console-work"
        self._wrap_key = key.identify("console/upload")

    def begin(self, job: Job, facts: UploadFacts) -> None:
        """Keep what was said about a recording, durably, before its first byte."""
        table = {**dataclasses.asdict(facts), "patient": encode_facts(facts.patient).decode("utf-8")}
        payload = new_key() + json.dumps(table).encode("utf-8")
        make_private_folder(self._folder)
        make_private_folder(self._of(job).parent)
        make_private_folder(self._of(job))
        write_durably(self._of(job) / "facts.sealed", seal(self._wrap_key, payload, _context("facts", job)))

    def facts(self, job: Job) -> UploadFacts:
        """What was said. Raises ``console-upload-gone`` or ``envelope-damaged``."""
        table = json.loads(self._payload(job)[KEY_BYTES:])
        return UploadFacts(**{**table, "patient": patient_facts(table["patient"].encode("utf-8"))})

    def append(self, job: Job, offset: int, data: bytes) -> None:
        """Keep a segment, durably. The same offset again replaces what is there."""
        sealed = seal(self._key(job), data, _context("segment", job, str(offset)))
        write_durably(self._segment(job, offset), sealed)

    @contextlib.contextmanager
    def opened(self, job: Job) -> Iterator[Path]:
        """The whole recording as a file, for as long as the block lasts; only this account may read it, and it is
        overwritten afterwards. Raises ``console-upload-gone``, ``envelope-damaged``, ``disk-full``."""
        make_private_folder(self._work)
        path = self._work / f"{job.id}{self.facts(job).suffix}"
        key, offset = self._key(job), 0
        try:
            with full_disk_is_an_error(path), _private(path) as handle:
                while offset < job.size:
                    sealed = self._read(job, self._segment(job, offset))
                    data = unseal(key, sealed, _context("segment", job, str(offset)), what=f"upload {job.id}")
                    _write_all(handle, data)
                    offset += len(data)
            yield path
        finally:
            shred(path)

    def remove(self, job: Job) -> None:
        """Overwrite and remove the bytes of an upload; one that is gone is gone."""
        folder = self._of(job)
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir(), key=lambda item: item.name != "facts.sealed"):  # the key first
            shred(path)
        folder.rmdir()
        with contextlib.suppress(OSError):  # the patient's other uploads
            folder.parent.rmdir()
            sync_folder(self._folder)

    def holds(self, job: Job) -> bool:
        """Whether the bytes of an upload are here."""
        return (self._of(job) / "facts.sealed").exists()

    def sweep(self, at_work: Callable[[], frozenset[str]]) -> None:
        """Overwrite what killed workers left readable. ``at_work``: gives the ids of the jobs that living ones have in
        hand; asked after the files were listed, so that the file of a job that is taken meanwhile is left alone."""
        found = list(self._work.glob("*")) if self._work.is_dir() else []
        busy = at_work() if found else frozenset()
        for path in found:
            if path.stem not in busy:
                shred(path)

    def _of(self, job: Job) -> Path:
        # Both come from our own records; nothing else may become a path all the same.
        if not _PLAIN.fullmatch(job.pseudonym) or not _PLAIN.fullmatch(job.id):
            raise GaitkeeperError("console-not-found")
        return self._folder / job.pseudonym / job.id

    def _segment(self, job: Job, offset: int) -> Path:
        return self._of(job) / f"{offset:016d}.sealed"

    def _payload(self, job: Job) -> bytes:
        sealed = self._read(job, self._of(job) / "facts.sealed")
        return unseal(self._wrap_key, sealed, _context("facts", job), what=f"upload {job.id}")

    def _key(self, job: Job) -> bytes:
        return self._payload(job)[:KEY_BYTES]

    def _read(self, job: Job, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise GaitkeeperError("console-upload-gone", upload=job.id) from error


@contextlib.contextmanager
def _private(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _context(kind: str, job: Job, *more: str) -> SealContext:
    return SealContext(f"console-{kind}", (job.pseudonym, job.id, *more))
