"""Detached signatures of a consortium over a document's bytes, by as many keys as the consortium demands.

What is signed names its context (``gaitkeeper.study/1`` ...), so that a signature over one kind of document can never
be taken for one over another, and the moment of signing, so that nobody can move it later.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, iso, utc_now
from gaitkeeper_shared.trust.keys import SigningKey, VerifyingKey

SIGNATURES_SCHEMA = "gaitkeeper.signatures/1"
ALGORITHM = "ed25519"
MAX_SIGNATURES_BYTES = 64 * 1024

Context = Literal["gaitkeeper.study/1", "gaitkeeper.release/1", "gaitkeeper.order/1", "gaitkeeper.statement/1"]
"""What kind of document is signed."""
STUDY_CONTEXT: Context = "gaitkeeper.study/1"
RELEASE_CONTEXT: Context = "gaitkeeper.release/1"
ORDER_CONTEXT: Context = "gaitkeeper.order/1"
STATEMENT_CONTEXT: Context = "gaitkeeper.statement/1"
"""What a clinician says about a report."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One key's signature. ``signed_at``: ISO 8601 in UTC, itself signed."""

    key_id: str
    algorithm: str
    signed_at: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Signatures:
    """All signatures over one document. ``sha256``: of the document's bytes, in hex."""

    context: str
    sha256: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """The JSON that lies beside the document."""
        rows = [
            {
                "key_id": item.key_id,
                "algorithm": item.algorithm,
                "signed_at": item.signed_at,
                "signature": base64.b64encode(item.signature).decode("ascii"),
            }
            for item in self.signatures
        ]
        table = {"schema": SIGNATURES_SCHEMA, "context": self.context, "sha256": self.sha256, "signatures": rows}
        return (json.dumps(table, indent=2) + "\n").encode("ascii")

    @classmethod
    def load(cls, path: Path) -> Signatures:
        """Read a file of them. Raises ``signature-unreadable``."""
        try:
            with path.open("rb") as file:
                return cls.from_bytes(file.read(MAX_SIGNATURES_BYTES + 1), what=str(path))
        except OSError as error:
            raise GaitkeeperError("signature-unreadable", what=path, detail=error.strerror) from error

    @classmethod
    def from_bytes(cls, data: bytes, *, what: str = "the document") -> Signatures:
        """Read what :meth:`to_bytes` wrote. Raises ``signature-unreadable``."""
        if len(data) > MAX_SIGNATURES_BYTES:
            raise GaitkeeperError("signature-unreadable", what=what, detail="it is too long")
        try:
            table = json.loads(data)
            if table["schema"] != SIGNATURES_SCHEMA:
                raise ValueError(f"its schema is not {SIGNATURES_SCHEMA}")
            rows = tuple(_signature(row) for row in table["signatures"])
            return cls(_text(table["context"]), _text(table["sha256"]), rows)
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
            raise GaitkeeperError("signature-unreadable", what=what, detail=error) from error


@dataclass(frozen=True, slots=True)
class Consortium:
    """Whose signatures count: ``threshold`` different ones of ``keys`` must have signed."""

    keys: tuple[VerifyingKey, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len({key.key_id for key in self.keys}):
            raise ValueError("the threshold must lie between 1 and the number of different keys")

    @property
    def anyone(self) -> Consortium:
        """The same keys, of which one is enough: for orders, which choose among what all the others signed."""
        return Consortium(self.keys)


def signature_path(path: Path) -> Path:
    """Where the signatures of a file lie: ``study.toml.sig`` beside ``study.toml``."""
    return path.with_name(path.name + ".sig")


def sign(
    data: bytes, context: Context, key: SigningKey, *, also: Signatures | None = None, clock: Clock = utc_now
) -> Signatures:
    """Sign ``data``; with ``also``, add to (or renew in) the signatures that others made over the same bytes.

    Raises ``signature-other-document`` where ``also`` is not over these bytes in this context.
    """
    digest = hashlib.sha256(data).hexdigest()
    others: tuple[Signature, ...] = ()
    if also is not None:
        if (also.context, also.sha256) != (context, digest):
            raise GaitkeeperError("signature-other-document", what="the document")
        others = tuple(item for item in also.signatures if item.key_id != key.verifying.key_id)
    signed_at = iso(clock())
    made = Signature(key.verifying.key_id, ALGORITHM, signed_at, key.sign(_message(context, signed_at, data)))
    return Signatures(context, digest, (*others, made))


def verify(
    data: bytes, signatures: Signatures, context: Context, consortium: Consortium, *, what: str
) -> dict[str, Signature]:
    """The valid signatures by key, only where enough of the consortium's keys signed these bytes in this context.

    Raises ``signature-other-document`` (the bytes were changed) or ``signature-not-trusted``.
    """
    valid = valid_signatures(data, signatures, context, consortium, what=what)
    if len(valid) < consortium.threshold:
        raise GaitkeeperError("signature-not-trusted", what=what, valid=len(valid), needed=consortium.threshold)
    return valid


def valid_signatures(
    data: bytes, signatures: Signatures, context: Context, consortium: Consortium, *, what: str
) -> dict[str, Signature]:
    """By key, the consortium's signatures of exactly these bytes in this context, be they enough or not.

    Raises ``signature-other-document`` (the bytes were changed).
    """
    if (signatures.context, signatures.sha256) != (context, hashlib.sha256(data).hexdigest()):
        raise GaitkeeperError("signature-other-document", what=what)
    return {item.key_id: item for item in _valid(data, signatures, context, consortium.keys)}


def _valid(data: bytes, signatures: Signatures, context: Context, keys: Iterable[VerifyingKey]) -> Iterable[Signature]:
    by_id = {key.key_id: key for key in keys}
    for item in signatures.signatures:
        key = by_id.get(item.key_id)
        if key is None or item.algorithm != ALGORITHM:
            continue
        if key.accepts(item.signature, _message(context, item.signed_at, data)):
            yield item


def _message(context: str, signed_at: str, data: bytes) -> bytes:
    # No field can hold a NUL, so no two triples give one message.
    return b"\0".join((SIGNATURES_SCHEMA.encode(), context.encode(), signed_at.encode(), hashlib.sha256(data).digest()))


def _signature(row: Any) -> Signature:
    return Signature(
        _text(row["key_id"]),
        _text(row["algorithm"]),
        _text(row["signed_at"]),
        base64.b64decode(_text(row["signature"]), validate=True),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or "\0" in value or not value.isascii():
        raise ValueError("a short text was expected")
    return value
