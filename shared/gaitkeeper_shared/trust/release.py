"""What is signed to bring a model back to the sites: a release's manifest and an order to deploy it.

Both travel as canonical JSON (sorted keys, no spaces, ASCII), and it is those bytes that are signed and hashed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from gaitkeeper_shared.errors import GaitkeeperError

RELEASE_SCHEMA = "gaitkeeper.release/1"
ORDER_SCHEMA = "gaitkeeper.order/1"
MAX_MODEL_BYTES = 512 * 1024 * 1024
"""A temporal gait model has 10^4 to 10^7 weights of 4 bytes; whatever is larger than this is not one."""
MAX_DOCUMENT_BYTES = 64 * 1024
_LATER = frozenset({"validated"})
"""Fields that came later: a document without them is whole, and so is one whose value says nothing."""
_HEX = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Validation:
    """What the last evaluation of a run told of its model: patients of ``sites`` whom training had left out.

    ``rounds``: that were committed. ``accuracy``: share of them judged right, between 0 and 1; ``mean_absolute_error``
    and ``rank_correlation``: of a severity. Counted with noise that protects the patients; None where not known.
    """

    sites: int
    rounds: int
    accuracy: float | None = None
    mean_absolute_error: float | None = None
    rank_correlation: float | None = None

    def lines(self) -> tuple[str, ...]:
        """As a manifest holds it; :meth:`of` is the inverse."""
        values = dataclasses.asdict(self)
        return tuple(f"{name}={value:.6g}" for name, value in values.items() if value is not None)

    @classmethod
    def of(cls, lines: tuple[str, ...]) -> Validation | None:
        """None where the lines say nothing that this version knows, or no result."""
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            found = {name: float(text) for name, _, text in (line.partition("=") for line in lines) if name in names}
        except ValueError:
            return None
        if not all(math.isfinite(value) for value in found.values()) or not found.keys() - {"sites", "rounds"}:
            return None
        return cls(round(found.pop("sites", 0.0)), round(found.pop("rounds", 0.0)), **found)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A released model version. Hashes are SHA-256 in hex, ``model_size`` is in bytes, ``created_at`` ISO 8601 in UTC.

    ``parents``: the registry's versions that it was trained on from. ``validated``: see :class:`Validation`; it is not
    in the bytes of a manifest that says nothing of it.
    """

    version: int
    study: str
    study_hash: str
    model_sha256: str
    model_size: int
    created_at: str
    parents: tuple[str, ...] = ()
    notes: str = ""
    validated: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed."""
        return _to_bytes(self, RELEASE_SCHEMA)

    @property
    def validation(self) -> Validation | None:
        """On whom it was validated; None where it does not say."""
        return Validation.of(self.validated)

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
    said = {name: item for name, item in dataclasses.asdict(value).items() if item or name not in _LATER}
    table = {"schema": schema, **said}
    return json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _from_bytes(kind: type[_T], data: bytes, schema: str, what: str) -> _T:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise GaitkeeperError("release-unreadable", what=what, detail="it is too long")
    try:
        table = json.loads(data)
        if table.pop("schema") != schema:
            raise ValueError(f"its schema is not {schema}")
        expected = [field for field in dataclasses.fields(kind) if field.name in table or field.name not in _LATER]  # type: ignore[arg-type]
        values = {field.name: _checked(field, table.pop(field.name)) for field in expected}
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
