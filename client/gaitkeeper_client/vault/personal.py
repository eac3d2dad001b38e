"""A site's personal head: sealed in its vault, for its own findings alone. Nothing that talks to others reads it.

It was fitted to patients without noise, so it may tell of them; a test holds that no part of a site that sends imports
this file. It is bound to one release, and to what it was fitted to: once one of its patients is erased or withdraws, or
one of their recordings is past its time, it is not used any more, and is removed by whatever did that, by the next
ingest, or when the site starts. It is not in a backup, and a new key of the site leaves nothing that could open it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.tensors import header_of
from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal

_PURPOSE = "personal-head"
_WHAT = "this site's personal head"
_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a personal head is: of which release (by its model's SHA-256), fitted to whom (pseudonyms), when (ISO 8601).

    ``loss_before``, ``loss_after``: mean loss of the release's head and of this one on the site's own patients, each
    judged by a head that was not fitted to them. ``sources``: which files of these patients there were
    (:func:`holdings`).
    """

    release_sha256: str
    people: tuple[str, ...]
    made_at: str
    loss_before: float
    loss_after: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PersonalHead:
    """``weights``: the arrays of the head alone, by their names in the model."""

    facts: HeadFacts
    weights: Mapping[str, Float32Array]


def holdings(vault: Vault) -> Mapping[str, frozenset[str]]:
    """By pseudonym of everybody who agrees to training, what the vault holds of them: keyed hashes of files, in hex."""
    return {
        patient.pseudonym: frozenset(row.source.hex() for row in vault.index.recordings(patient.pseudonym))
        for patient in vault.patients()
        if patient.allows("training")
    }


def sources_of(held: Mapping[str, frozenset[str]], people: Iterable[str]) -> tuple[str, ...]:
    """What is held of these people."""
    return tuple(sorted({source for pseudonym in people for source in held.get(pseudonym, ())}))


def keep_head(home: SiteHome, vault: Vault, head: PersonalHead) -> None:
    """Seal it into the vault, in the place of one that was there.

    Raises ``personal-people-changed`` where its people are not those any more whom it was fitted to: an erasure, a
    withdrawal or the end of a recording's time may come while it is fitted, and would not find it.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in head.weights.items()}
    data = save(arrays, metadata={"facts": json.dumps(asdict(head.facts))})
    # Whoever erases takes this lock first and looks for a head afterwards.
    with vault.locked(wait=True):
        held = holdings(vault)
        if not held.keys() >= set(head.facts.people) or sources_of(held, head.facts.people) != head.facts.sources:
            raise GaitkeeperError("personal-people-changed")
        write_durably(_path(home), _name(vault) + seal(vault.cipher.head_key, data, _context(home)))


def kept_head(home: SiteHome, vault: Vault) -> PersonalHead | None:
    """The one that is there; None where another key of the site sealed it. Raises ``envelope-damaged``."""
    from safetensors.numpy import load

    try:
        kept = _path(home).read_bytes()
    except FileNotFoundError:
        return None
    if not hmac.compare_digest(kept[:_NAME_BYTES], _name(vault)):
        return None
    data = unseal(vault.cipher.head_key, kept[_NAME_BYTES:], _context(home), what=_WHAT)
    try:
        table = header_of(data, "facts")
        facts = HeadFacts(**{**table, "people": tuple(table["people"]), "sources": tuple(table["sources"])})
        return PersonalHead(facts, dict(load(data)))
    except Exception as error:  # safetensors raises its own type; every cause means the same to the caller
        raise GaitkeeperError("envelope-damaged", what=_WHAT) from error


def usable_head(home: SiteHome, key: SiteKey, release_sha256: str) -> PersonalHead | None:
    """The head of this release, where all that it was fitted to is still there, of people who agree to training."""
    with Vault.open(home, key) as vault:
        head = kept_head(home, vault)
        if head is None or head.facts.release_sha256 != release_sha256:
            return None
        return head if _current(vault, head.facts) else None


def has_head(home: SiteHome) -> bool:
    """Whether there is one, of whatever release."""
    return _path(home).exists()


def drop_head(home: SiteHome, why: str) -> bool:
    """Overwrite and remove it, which the audit log tells with ``why``; whether there was one."""
    from gaitkeeper_client.vault.erasure import shred

    if not has_head(home):
        return False
    shred(_path(home))
    record(home, "personal-head-dropped", why=why)
    return True


def drop_stale_head(home: SiteHome, vault: Vault) -> bool:
    """Remove it where something that it was fitted to is gone, or where it cannot be opened; whether it was removed."""
    if not has_head(home):
        return False
    try:
        head = kept_head(home, vault)
    except GaitkeeperError:
        return drop_head(home, "it cannot be opened")
    if head is None:
        return drop_head(home, "another key of this site sealed it")
    if _current(vault, head.facts):
        return False
    return drop_head(home, "a patient or a recording that it was fitted to is gone, or a consent")


def _current(vault: Vault, facts: HeadFacts) -> bool:
    held = holdings(vault)
    return held.keys() >= set(facts.people) and set(sources_of(held, facts.people)).issuperset(facts.sources)


def _name(vault: Vault) -> bytes:
    """Of the key that seals it, so that one of before a rotation is not taken for a damaged one."""
    return hmac.digest(vault.cipher.head_key, b"name", "sha256")[:_NAME_BYTES]


def _path(home: SiteHome) -> Path:
    return home.vault / "personal-head.sealed"


def _context(home: SiteHome) -> SealContext:
    return SealContext(_PURPOSE, (home.config().name,))
