"""How long a site keeps what: recordings by their age, raw videos until they are analysed.

``[retention]`` in ``site.toml``: ``days`` (recordings older than that are removed; without it they stay) and
``raw_video`` (``keep``, or ``delete``: a video is removed from where it lies once what was found in it is stored).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gaitkeeper_client.vault.erasure import erase, forget, shred
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome, read_table
from gaitkeeper_client.vault.index import BUSY_TIMEOUT_S
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_client.vault.records import RecordingFacts
    from gaitkeeper_client.vault.store import Vault

TABLE = "retention"
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """``days``: how old a recording may get; None for any age. ``raw_video``: what happens to a video once stored."""

    days: int | None = None
    raw_video: Literal["keep", "delete"] = "keep"


@dataclass(frozen=True, slots=True)
class Expired:
    """A recording past its time. ``since``: UTC, ISO 8601, when it was made, or where that is unknown, added."""

    pseudonym: str
    recording_id: str
    since: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What :func:`apply_retention` removed; ``patients``: pseudonyms of those who had nothing left and were erased."""

    recordings: tuple[Expired, ...]
    patients: tuple[str, ...]


def retention_policy(home: SiteHome) -> RetentionPolicy:
    """The site's policy. Raises ``retention-bad``: a policy that cannot be read is never taken for none."""
    table = read_table(home, TABLE)
    days, raw_video = table.get("days"), table.get("raw_video", "keep")
    detail = ""
    if unknown := sorted(set(table) - {"days", "raw_video"}):
        detail = f"it has no key {', '.join(unknown)}"
    elif days is not None and (not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= _LONGEST_DAYS):
        detail = f"days = {days!r} is not a whole number from 1 to {_LONGEST_DAYS}"
    elif raw_video not in ("keep", "delete"):
        detail = f"raw_video = {raw_video!r} is neither keep nor delete"
    if detail:
        raise GaitkeeperError("retention-bad", path=home.config_file, detail=detail)
    return RetentionPolicy(days, raw_video)


def expired(vault: Vault, policy: RetentionPolicy, now: datetime) -> tuple[Expired, ...]:
    """The recordings that are older than the policy allows, at ``now`` (UTC)."""
    if policy.days is None:
        return ()
    oldest, found = now - timedelta(days=policy.days), []
    for patient in vault.patients():
        key = vault.patient_key(patient.pseudonym)
        for row in vault.index.recordings(patient.pseudonym):
            since = _since(vault.cipher.recording_facts(key, row))
            if since < oldest:
                found.append(Expired(patient.pseudonym, row.id, since.isoformat(timespec="seconds")))
    return tuple(found)


def apply_retention(
    home: SiteHome,
    vault: Vault,
    policy: RetentionPolicy,
    *,
    now: datetime | None = None,
    wait_s: float = BUSY_TIMEOUT_S,
) -> Removed:
    """Remove what is past its time; a patient with no recording left is erased. May be killed and run again.

    Raises ``erasure-unfinished``.
    """
    gone = expired(vault, policy, now or datetime.now(UTC))
    emptied = []
    for pseudonym in dict.fromkeys(item.pseudonym for item in gone):
        ids = [item.recording_id for item in gone if item.pseudonym == pseudonym]
        if len(ids) == len(vault.index.recordings(pseudonym)):
            erase(home, vault, pseudonym, wait_s=wait_s)
            emptied.append(pseudonym)
            continue
        with vault.writing():
            with vault.index.transaction():
                for recording_id in ids:
                    vault.index.remove_recording(recording_id)
            forget(vault, [vault.path_of(recording_id) for recording_id in ids], pseudonym, wait_s)
        for recording_id in ids:
            record(home, "recording-expired", patient=pseudonym, recording=recording_id)
    return Removed(gone, tuple(emptied))


def drop_raw_video(home: SiteHome, path: Path, pseudonym: str) -> None:
    """Remove a video whose findings are stored. Raises ``retention-bad`` where it cannot be removed."""
    try:
        shred(path)
    except OSError as error:
        detail = f'raw_video = "delete", but {path.name} cannot be removed ({error.strerror})'
        raise GaitkeeperError("retention-bad", path=home.config_file, detail=detail) from error
    record(home, "raw-video-deleted", patient=pseudonym)


def _since(facts: RecordingFacts) -> datetime:
    moment = datetime.fromisoformat(facts.recorded_at or facts.added_at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
