"""What an encoder that is never trained says of a patient's windows: computed once, not again in every round.

The key is the content of windows and encoder, so that a patient whose recordings change, or another encoder, cannot get
the features of before.
"""

from __future__ import annotations

import hashlib
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


def _key(model: GaitModel, windows: Float32Array) -> bytes:
    digest = hashlib.blake2b(model.encoder_fingerprint(), digest_size=32)
    digest.update(repr(windows.shape).encode("ascii"))
    digest.update(np.ascontiguousarray(windows).data.cast("B"))
    return digest.digest()
