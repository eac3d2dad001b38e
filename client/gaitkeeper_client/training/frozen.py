"""What an encoder that is never trained says of a patient's windows: computed once, not again in every round.

The key is the content of windows and encoder, so that a patient whose recordings change, or another encoder, cannot get
the features of before.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaitkeeper_shared.arrays import Float32Array

if TYPE_CHECKING:
    from gaitkeeper_shared.models.registry import GaitModel

MOST_BYTES = 256 * 1024 * 1024
"""Features kept in memory; the oldest are dropped."""

_kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
_hashed: dict[int, tuple[weakref.ref[Float32Array], bytes]] = {}


def frozen_features(model: GaitModel, windows: Float32Array) -> torch.Tensor:
    """(N, width) features of a patient's (N, T, C) windows under the model's encoder, on the processor."""
    key = _key(model, windows)
    if (known := _kept.get(key)) is not None:
        _kept.move_to_end(key)
        return known
    device = model.head.weight.device
    with torch.no_grad():
        features: torch.Tensor = model.encoder(torch.from_numpy(windows).to(device)).cpu()
    _kept[key] = features
    total = sum(kept.nbytes for kept in _kept.values())
    while total > MOST_BYTES and len(_kept) > 1:
        total -= _kept.popitem(last=False)[1].nbytes
    return features


def forget_features() -> None:
    """Keep nothing of anybody: the people of before may have been erased, or have withdrawn their consent."""
    _kept.clear()
    _hashed.clear()


def _key(model: GaitModel, windows: Float32Array) -> bytes:
    return hashlib.blake2b(model.encoder_fingerprint() + _content(windows), digest_size=32).digest()


def _content(windows: Float32Array) -> bytes:
    """A hash of a patient's windows, which nobody changes in place; of the same array it is computed once."""
    known = _hashed.get(id(windows))
    if known is not None and known[0]() is windows:
        return known[1]
    digest = hashlib.blake2b(repr(windows.shape).encode("ascii"), digest_size=32)
    digest.update(np.ascontiguousarray(windows).data.cast("B"))
    place = id(windows)
    _hashed[place] = (weakref.ref(windows, lambda _: _forget(place)), digest.digest())
    return digest.digest()


def _forget(place: int) -> None:
    _hashed.pop(place, None)
