"""The watched folder: files that lie still are handed in for the patient whom the schedule names, each once.

A file counts as finished when its size and time of change stayed the same between two looks, some seconds apart. What
is not handed in is counted, with the reason, and left where it is. Files handed in stay where they are, unless the
site's policy deletes raw videos: then a video is overwritten and removed as soon as the console's own copy is sealed.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gaitkeeper_client.console import intake
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.kinds import VIDEOS, suffix_of
from gaitkeeper_client.console.schedule import Slot, who_walks
from gaitkeeper_client.console.tally import Tally
from gaitkeeper_client.console.uploads import SEGMENT_BYTES
from gaitkeeper_client.vault.retention import drop_raw_video, retention_policy
from gaitkeeper_shared.errors import GaitkeeperError

OWNER = "watch"
PASSING = ("console-too-many-uploads", "console-no-room", "disk-full", "vault-busy", "console-busy")
"""Errors that pass: the file is tried again at the next look."""


@dataclass(frozen=True, slots=True)
class _Look:
    size: int
    changed_ns: int


class WatchedFolder:
    """One folder. Call :meth:`look` again and again; nothing else keeps state but the console's own records."""

    def __init__(self, console: Console, folder: Path, place: str = "") -> None:
        self._console, self._folder, self._place = console, folder, place or folder.name
        self._secret = console.key.identify("console/seen")
        self._last: dict[Path, _Look] = {}
        self.tally = Tally()

    def look(self, slots: tuple[Slot, ...]) -> int:
        """Hand in what lies still since the last look; how many files that were. Raises ``watch-folder``."""
        now: dict[Path, _Look] = {}
        done = 0
        for path in self._files():
            try:
                stat = path.stat()
            except OSError:  # gone between the list and the look
                continue
            now[path] = _Look(stat.st_size, stat.st_mtime_ns)
            if stat.st_size and self._last.get(path) == now[path] and not self._seen(path, now[path]):
                done += self._hand_in(path, now[path], slots)
        self._last = now
        return done

    def _files(self) -> list[Path]:
        try:
            found = [Path(entry.path) for entry in os.scandir(self._folder) if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            raise GaitkeeperError("watch-folder", path=self._folder, detail=error.strerror) from error
        return sorted(path for path in found if not path.name.startswith("."))

    def _hand_in(self, path: Path, look: _Look, slots: tuple[Slot, ...]) -> bool:
        # A recorder closes its file when the walk is over: that is the one time that a file tells.
        moment = datetime.fromtimestamp(look.changed_ns / 1e9, UTC)
        slot = who_walks(slots, self._place, moment, moment)
        code = "nobody-scheduled" if slot is None else ""
        if slot is not None:
            try:
                suffix_of(path.name)
                self._send(path, slot, moment)
            except GaitkeeperError as error:
                if error.code in PASSING:
                    return False
                code = error.code
            except OSError:
                return False  # it is being moved, or its disk is away: the next look tells
        self._remember(path, look, code or "handed-in")
        if code:
            self.tally.skipped[code] += 1
            return False
        self.tally.kept += 1
        return True

    def _send(self, path: Path, slot: Slot, moment: datetime) -> None:
        size = path.stat().st_size
        asked = intake.Asked(
            slot.patient,
            path.name,
            size,
            height_m=slot.height_m,
            consent=slot.consent,
            recorded_at=moment.isoformat(timespec="seconds"),
        )
        job = intake.begin(self._console, OWNER, asked, known_only=not slot.consent)
        try:
            with path.open("rb") as file:
                while job.received < size:
                    data = file.read(SEGMENT_BYTES)
                    if not data:
                        raise GaitkeeperError("console-bad-input", field="The file", detail="it became shorter")
                    job = intake.append(self._console, job, job.received, data)
        except (GaitkeeperError, OSError):
            if self._console.queue.get(job.id).state == "receiving":
                intake.cancel(self._console, self._console.queue.get(job.id), OWNER)
            raise
        if path.suffix.lower() in VIDEOS and retention_policy(self._console.home).raw_video == "delete":
            drop_raw_video(self._console.home, path, job.pseudonym)

    def _mark(self, path: Path, look: _Look) -> bytes:
        text = f"{path.resolve()}|{look.size}|{look.changed_ns}"
        return hmac.digest(self._secret, text.encode("utf-8", "surrogateescape"), "sha256")

    def _seen(self, path: Path, look: _Look) -> bool:
        return self._console.queue.was_seen(self._mark(path, look))

    def _remember(self, path: Path, look: _Look, outcome: str) -> None:
        self._console.queue.remember(self._mark(path, look), outcome)
        if outcome != "handed-in":
            self._console.record("watch-skipped", OWNER, place=self._place, code=outcome)
