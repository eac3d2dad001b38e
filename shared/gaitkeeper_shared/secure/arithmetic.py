"""Updates as whole numbers modulo 2^64, and the masks on them.

A site's weights become fixed-point numbers, so that masks cancel exactly and the sum is the same bits in any order.
Flower's quantiser rounds at random from NumPy's global generator, to 32 bits; here the same update must give the same
numbers each time that it is masked anew, or two attempts would differ by more than their masks. Flower's generator of
masks folds its seed to 32 bits, few enough to be tried out; here masks are an AES-256 key stream.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights

FRACTION_BITS = 36
LARGEST = 2.0**14
"""Weights beyond are cut off at it: the sum of ``MOST_SITES`` of them stays well within 63 bits."""
MOST_SITES = 1024

Vector = np.ndarray[Any, np.dtype[np.uint64]]
"""(parameters,) numbers modulo 2^64: all arrays of a model, in the order of their names."""


def size_of(reference: Weights) -> int:
    """How many numbers a model's vector has."""
    return sum(array.size for array in reference.values())


def model_digest(weights: Weights) -> str:
    """SHA-256, in hex, of a model's weights: names, types, shapes and bytes, whatever order the names come in."""
    digest = hashlib.sha256(b"gaitkeeper.model/1\0")
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        head = json.dumps([name, array.dtype.str, list(weights[name].shape), array.nbytes]).encode("utf-8")
        digest.update(len(head).to_bytes(8, "little") + head + array.tobytes())
    return digest.hexdigest()


def encode(weights: Weights) -> Vector:
    """Weights in steps of 2^-36, negative ones as two's complement; past ``LARGEST`` they stay at it.

    They were trained: whether a site answers at all must not depend on how large they became. Raises
    ``secure-refused`` for what is no number, which private training cannot make of finite weights.
    """
    parts = []
    for name in sorted(weights):
        values = weights[name].astype(np.float64).ravel()
        if np.isnan(values).any():
            raise GaitkeeperError("secure-refused", why="a weight is no number")
        parts.append(np.rint(np.clip(values, -LARGEST, LARGEST) * 2.0**FRACTION_BITS).astype(np.int64))
    return np.concatenate(parts).view(np.uint64)


def decode_mean(total: Vector, sites: int, reference: Weights) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """The mean of ``sites`` encoded weights, with names, shapes and types of ``reference``, from their sum."""
    mean = total.view(np.int64).astype(np.float64) / (sites * 2.0**FRACTION_BITS)
    found, start = {}, 0
    for name in sorted(reference):
        array = reference[name]
        found[name] = mean[start : start + array.size].reshape(array.shape).astype(array.dtype)
        start += array.size
    return {name: found[name] for name in reference}


def mask(seed: bytes, label: bytes, size: int) -> Vector:
    """(size,) numbers that nobody can tell from random ones without ``seed``; ``label`` says what they are for."""
    key = HKDF(hashes.SHA256(), 32, salt=None, info=b"gaitkeeper.mask/1\0" + label).derive(seed)
    # A key is used for one stream: the counter may start at zero.
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * size))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def pair_mask(seed: bytes, label: bytes, size: int, *, own: str, other: str) -> Vector:
    """The mask between two sites as ``own`` adds it: what ``other`` adds cancels it."""
    stream = mask(seed, label, size)
    return stream if own < other else np.uint64(0) - stream


def to_bytes(vector: Vector) -> bytes:
    """Little-endian bytes of a vector."""
    return vector.astype("<u8").tobytes()


def from_bytes(data: bytes, size: int) -> Vector:
    """The inverse. Raises ``ValueError`` where there are not ``size`` numbers."""
    if len(data) != 8 * size:
        raise ValueError(f"{len(data)} bytes instead of {8 * size}")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)
