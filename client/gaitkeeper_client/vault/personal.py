"""A site's personal head: sealed in its vault, for its own findings alone. Nothing that talks to others reads it.

It was fitted to patients without noise, so it may tell of them; a test holds that no part of a site that sends imports
this file. It is bound to one release, and is not used any more once one of its patients is gone or has withdrawn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a personal head is: of which release (by its model's SHA-256), fitted to whom (pseudonyms), when (ISO 8601).

    ``loss_before``, ``loss_after``: mean loss of the release's head and of this one on the site's own patients, each
    judged by a head that was not fitted to them.
    """

    release_sha256: str
    people: tuple[str, ...]
    made_at: str
    loss_before: float
    loss_after: float


@dataclass(frozen=True, slots=True)
class PersonalHead:
    """``weights``: the arrays of the head alone, by their names in the model."""

    facts: HeadFacts
    weights: Mapping[str, Float32Array]


def keep_head(home: SiteHome, key: SiteKey, head: PersonalHead) -> None:
    """Seal it into the vault, in the place of one that was there."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in head.weights.items()}
    data = save(arrays, metadata={"facts": json.dumps(asdict(head.facts))})
    write_durably(_path(home), seal(key.identify(_PURPOSE), data, _context(home)))


def kept_head(home: SiteHome, key: SiteKey) -> PersonalHead | None:
    """The one that is there. Raises ``envelope-damaged``."""
    from safetensors.numpy import load

    try:
        sealed = _path(home).read_bytes()
    except FileNotFoundError:
        return None
    data = unseal(key.identify(_PURPOSE), sealed, _context(home), what=_WHAT)
    try:
        table = header_of(data, "facts")
        facts = HeadFacts(**{**table, "people": tuple(table["people"])})
        return PersonalHead(facts, dict(load(data)))
    except Exception as error:  # safetensors raises its own type; every cause means the same to the caller
        raise GaitkeeperError("envelope-damaged", what=_WHAT) from error


def usable_head(home: SiteHome, key: SiteKey, release_sha256: str) -> PersonalHead | None:
    """The head of this release, where everybody whom it was fitted to is still there and agrees to training."""
    head = kept_head(home, key)
    if head is None or head.facts.release_sha256 != release_sha256:
        return None
    with Vault.open(home, key) as vault:
        agreeing = {patient.pseudonym for patient in vault.patients() if patient.allows("training")}
    return head if agreeing.issuperset(head.facts.people) else None


def has_head(home: SiteHome) -> bool:
    """Whether there is one, of whatever release."""
    return _path(home).exists()


def drop_head(home: SiteHome) -> bool:
    """Overwrite and remove it; whether there was one."""
    from gaitkeeper_client.vault.erasure import shred

    there = has_head(home)
    shred(_path(home))
    return there


def _path(home: SiteHome) -> Path:
    return home.vault / "personal-head.sealed"


def _context(home: SiteHome) -> SealContext:
    return SealContext(_PURPOSE, (home.config().name,))
