"""What is signed to bring a model back to the sites: a release's manifest and an order to deploy it.

Both travel as canonical JSON (sorted keys, no spaces, ASCII), and it is those bytes that are signed and hashed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from gaitkeeper_shared.errors import GaitkeeperError

RELEASE_SCHEMA = "gaitkeeper.release/1"
ORDER_SCHEMA = "gaitkeeper.order/1"
MAX_MODEL_BYTES = 512 * 1024 * 1024
"""A temporal gait model has 10^4 to 10^7 weights of 4 bytes; whatever is larger than this is not one."""
MAX_DOCUMENT_BYTES = 64 * 1024
_HEX = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A released model version. Hashes are SHA-256 in hex, ``model_size`` is in bytes, ``created_at`` ISO 8601 in UTC.

    ``parents``: the registry's versions that it was trained on from.
    """

    version: int
    study: str
    study_hash: str
    model_sha256: str
    model_size: int
    created_at: str
    parents: tuple[str, ...] = ()
    notes: str = ""

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed."""
        return _to_bytes(self, RELEASE_SCHEMA)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Raises ``release-unreadable``."""
        made = _from_bytes(cls, data, RELEASE_SCHEMA, "the release's manifest")
        hashes = (made.study_hash, made.model_sha256)
        if made.version < 1 or not all(_HEX.fullmatch(item) for item in hashes) or made.model_size < 1:
            raise GaitkeeperError("release-unreadable", what="the release's manifest", detail="a value is impossible")
        if made.model_size > MAX_MODEL_BYTES:
            raise GaitkeeperError("release-too-large", size=made.model_size, limit=MAX_MODEL_BYTES)
        return made

    def fits(self, model: bytes) -> bool:
        """Whether ``model`` is byte for byte what was released."""
        return len(model) == self.model_size and hashlib.sha256(model).hexdigest() == self.model_sha256


@dataclass(frozen=True, slots=True)
class Order:
    """An order to one site to run a version. ``sequence`` only rises, also when an older version is ordered again."""

    coordinator: str
    site: str
    sequence: int
    version: int
    manifest_sha256: str
    ordered_at: str

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed."""
        return _to_bytes(self, ORDER_SCHEMA)

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """Raises ``release-unreadable``."""
        made = _from_bytes(cls, data, ORDER_SCHEMA, "the deployment order")
        if made.version < 1 or made.sequence < 1 or not _HEX.fullmatch(made.manifest_sha256):
            raise GaitkeeperError("release-unreadable", what="the deployment order", detail="a value is impossible")
        return made


def _to_bytes(value: Any, schema: str) -> bytes:
    table = {"schema": schema, **dataclasses.asdict(value)}
    return json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _from_bytes(kind: type[_T], data: bytes, schema: str, what: str) -> _T:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise GaitkeeperError("release-unreadable", what=what, detail="it is too long")
    try:
        table = json.loads(data)
        if table.pop("schema") != schema:
            raise ValueError(f"its schema is not {schema}")
        values = {field.name: _checked(field, table.pop(field.name)) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        if table:
            raise ValueError(f"it has unknown keys: {', '.join(sorted(table))[:200]}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GaitkeeperError("release-unreadable", what=what, detail=error) from error
    return kind(**values)


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    if field.type == "int":
        good = type(value) is int
    elif field.type == "str":
        good = isinstance(value, str)
    else:
        good = isinstance(value, list) and all(isinstance(item, str) for item in value)
        value = tuple(value) if good else value
    if not good:
        raise ValueError(f"{field.name} is of the wrong type")
    return value
