"""What the safetensors library does not read from bytes: the header that was written beside the arrays."""

from __future__ import annotations

import json
from typing import Any


def header_of(data: bytes, name: str) -> dict[str, Any]:
    """The JSON value that was written as metadata ``name``.

    Raises ``ValueError`` (of which JSON's errors are), ``KeyError`` or ``TypeError`` for anything else.
    """
    # Format: 8 bytes little-endian header length, JSON header, data.
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError("no safetensors header")
    header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][name])
    return header
