"""Randomness that privacy rests on: from the operating system's cryptographic source, never from a seed.

Each draw takes a fresh key from the operating system and stretches it with ChaCha20 (RFC 8439), as Linux itself does,
at a tenth of the time for the numbers of a large model. The key is forgotten at once.
"""

from __future__ import annotations

import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from scipy.special import ndtri

from gaitkeeper_shared.arrays import BoolArray, FloatArray

_PARTS = 4
"""A sum of several Gaussians, divided by the root of their number: the low bits of one float64 Gaussian would tell what
was added to it (Mironov 2012, doi:10.1145/2382196.2382264); of such a sum they do not (Holohan & Braghin 2021,
doi:10.48550/arXiv.2107.10138)."""

_KEY_BYTES, _NONCE_BYTES = 32, 16


def uniform(size: int) -> FloatArray:
    """(size,) uniform numbers strictly between 0 and 1, 53 random bits each."""
    bits = np.frombuffer(_random_bytes(8 * size), dtype=np.uint64) >> np.uint64(11)
    numbers: FloatArray = (bits.astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(numbers, math.nextafter(1.0, 0.0))


def _random_bytes(size: int) -> bytes:
    """ChaCha20's key stream under a key that was never used before and is not kept."""
    cipher = Cipher(algorithms.ChaCha20(secrets.token_bytes(_KEY_BYTES), bytes(_NONCE_BYTES)), mode=None)
    return cipher.encryptor().update(bytes(size))


def gaussian(size: int, std: float) -> FloatArray:
    """(size,) independent Gaussian numbers of mean 0 and standard deviation ``std``."""
    if std == 0.0 or size == 0:
        return np.zeros(size)
    parts = ndtri(uniform(_PARTS * size)).reshape(_PARTS, size)
    numbers: FloatArray = parts.sum(axis=0) * (std / math.sqrt(_PARTS))
    return numbers


def poisson_sample(size: int, rate: float) -> BoolArray:
    """(size,) independent draws: who is in a step, each with probability ``rate``."""
    return uniform(size) < rate
