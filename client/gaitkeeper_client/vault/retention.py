"""How long a site keeps what: recordings by their age, raw videos until they are analysed.

``[retention]`` in ``site.toml``: ``days`` (recordings older than that are removed, and reports of such; without it they
stay), ``report_days`` (the time of kept reports, where the law asks for another than that of recordings) and
``raw_video`` (``keep``, or ``delete``: a video is removed from where it lies once what was found in it is stored).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gaitkeeper_client.vault.documents import heads_with_ids
from gaitkeeper_client.vault.erasure import erase, forget, shred
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome, read_table
from gaitkeeper_client.vault.index import BUSY_TIMEOUT_S
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.store import Vault

TABLE = "retention"
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """``days``: how old a recording may get; None for any age. ``raw_video``: what happens to a video once stored.

    ``report_days``: how old a kept report may get, where reports have another time than recordings.
    """

    days: int | None = None
    raw_video: Literal["keep", "delete"] = "keep"
    report_days: int | None = None

    @property
    def documents_days(self) -> int | None:
        """How old a report may get, with the recording that it encloses."""
        return self.days if self.report_days is None else self.report_days


@dataclass(frozen=True, slots=True)
class Expired:
    """A recording, or a document such as a report, past its time.

    ``since``: UTC, ISO 8601, when it was made, or where that is unknown, added.
    """

    pseudonym: str
    recording_id: str
    since: str
    kind: Literal["recording", "document"] = "recording"


@dataclass(frozen=True, slots=True)
class Removed:
    """What :func:`apply_retention` removed; ``patients``: pseudonyms of those who had nothing left and were erased."""

    recordings: tuple[Expired, ...]
    patients: tuple[str, ...]


def retention_policy(home: SiteHome) -> RetentionPolicy:
    """The site's policy. Raises ``retention-bad``: a policy that cannot be read is never taken for none."""
    table = read_table(home, TABLE)
    raw_video = table.get("raw_video", "keep")
    detail = ""
    if unknown := sorted(set(table) - {"days", "raw_video", "report_days"}):
        detail = f"it has no key {', '.join(unknown)}"
    elif wrong := [key for key in ("days", "report_days") if key in table and not _is_days(table[key])]:
        detail = f"{wrong[0]} = {table[wrong[0]]!r} is not a whole number from 1 to {_LONGEST_DAYS}"
    elif raw_video not in ("keep", "delete"):
        detail = f"raw_video = {raw_video!r} is neither keep nor delete"
    if detail:
        raise GaitkeeperError("retention-bad", path=home.config_file, detail=detail)
    return RetentionPolicy(table.get("days"), raw_video, table.get("report_days"))


def _is_days(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST_DAYS


def expired(vault: Vault, policy: RetentionPolicy, now: datetime) -> tuple[Expired, ...]:
    """The recordings and documents that are older than the policy allows, at ``now`` (UTC)."""
    found = []
    for patient in vault.patients():
        key = vault.patient_key(patient.pseudonym)
        if policy.days is not None:
            oldest = now - timedelta(days=policy.days)
            for row in vault.index.recordings(patient.pseudonym):
                facts = vault.cipher.recording_facts(key, row)
                if (since := _moment(facts.recorded_at or facts.added_at)) < oldest:
                    found.append(Expired(patient.pseudonym, row.id, since.isoformat(timespec="seconds")))
        if policy.documents_days is not None:
            found += _expired_documents(vault, patient.pseudonym, now - timedelta(days=policy.documents_days))
    return tuple(found)


def _expired_documents(vault: Vault, pseudonym: str, oldest: datetime) -> list[Expired]:
    """Documents by their own age, and what was said about them with them."""
    heads = heads_with_ids(vault, pseudonym)
    since = {
        head.name: moment
        for head in heads.values()
        if not head.subject and (moment := _moment(head.recorded_at or head.created_at)) < oldest
    }
    return [
        Expired(pseudonym, document_id, since[name].isoformat(timespec="seconds"), "document")
        for document_id, head in heads.items()
        if (name := head.subject or head.name) in since
    ]


def apply_retention(
    home: SiteHome,
    vault: Vault,
    policy: RetentionPolicy,
    *,
    now: datetime | None = None,
    wait_s: float = BUSY_TIMEOUT_S,
) -> Removed:
    """Remove what is past its time; a patient of whom nothing is left is erased. May be killed and run again.

    The site's own head goes too, where it was fitted to any of it, or to somebody who does not agree any more. Raises
    ``erasure-unfinished``.
    """
    from gaitkeeper_client.vault.personal import drop_stale_head

    gone = expired(vault, policy, now or datetime.now(UTC))
    emptied = []
    for pseudonym in dict.fromkeys(item.pseudonym for item in gone):
        items = [item for item in gone if item.pseudonym == pseudonym]
        if len(items) == len(vault.index.file_ids(pseudonym)):
            erase(home, vault, pseudonym, wait_s=wait_s)
            emptied.append(pseudonym)
            continue
        with vault.writing():
            with vault.index.transaction():
                for item in items:
                    if item.kind == "recording":
                        vault.index.remove_recording(item.recording_id)
                    else:
                        vault.index.remove_document(item.recording_id)
            forget(vault, [vault.path_of(item.recording_id) for item in items], pseudonym, wait_s)
        for item in items:
            record(home, f"{item.kind}-expired", patient=pseudonym, recording=item.recording_id)
    drop_stale_head(home, vault)
    return Removed(gone, tuple(emptied))


def drop_raw_video(home: SiteHome, path: Path, pseudonym: str) -> None:
    """Remove a video whose findings are stored. Raises ``retention-bad`` where it cannot be removed."""
    try:
        shred(path)
    except OSError as error:
        detail = f'raw_video = "delete", but {path.name} cannot be removed ({error.strerror})'
        raise GaitkeeperError("retention-bad", path=home.config_file, detail=detail) from error
    record(home, "raw-video-deleted", patient=pseudonym)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
