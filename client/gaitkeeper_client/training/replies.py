"""Replies and the optimiser's state as bytes, for the ledger: safetensors with a JSON header."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np

from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundReply, SiteReport
from gaitkeeper_shared.tensors import header_of


def encode_reply(reply: RoundReply, model: str = "") -> bytes:
    """A reply as bytes; :func:`decode_reply` is the inverse. ``model``: digest of the weights that it trained from."""
    from safetensors.numpy import save

    header = {
        "report": dataclasses.asdict(reply.report),
        "metrics": dict(reply.metrics),
        "arrays": None if reply.weights is None else list(reply.weights),
        "model": model,
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in (reply.weights or {}).items()}
    return save(arrays, metadata={"header": json.dumps(header)})


def decode_reply(data: bytes) -> RoundReply:
    """A stored reply. Raises ``round-refused`` where it cannot be read."""
    from safetensors.numpy import load

    try:
        header = header_of(data, "header")
        names = header["arrays"]
        arrays = load(data)
        weights = None if names is None else {name: arrays[name] for name in names}  # in the state dict's order
        return RoundReply(SiteReport(**header["report"]), weights, header["metrics"])
    except Exception as error:  # safetensors raises its own type; every cause means the same to the caller
        raise GaitkeeperError("round-refused", why=f"the kept reply cannot be read ({type(error).__name__})") from error


def trained_from(data: bytes) -> str:
    """Digest of the weights that a stored reply was trained from; empty where it does not say, as of an older version.

    Raises ``round-refused`` where it cannot be read.
    """
    try:
        return str(header_of(data, "header").get("model", ""))
    except Exception as error:
        raise GaitkeeperError("round-refused", why=f"the kept reply cannot be read ({type(error).__name__})") from error


def encode_state(state: Mapping[str, Float32Array]) -> bytes:
    """The optimiser's state as bytes."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in state.items()}) if state else b""


def decode_state(data: bytes) -> dict[str, Float32Array]:
    """The inverse of :func:`encode_state`; empty bytes are no state."""
    from safetensors.numpy import load

    return dict(load(data)) if data else {}
