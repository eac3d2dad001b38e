"""Small real pose networks in ONNX, written byte by byte: they find dots of known colours, one for each joint.

``pixels -> closeness to each joint's colour (1 where equal) -> weighted sums along x and y``: the same inputs and
outputs as published networks have, and an answer that is known to a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray

MEAN = np.array([123.675, 116.28, 103.53])
STD = np.array([58.395, 57.12, 57.375])
_FLOAT, _INT64 = 1, 7
SHARPNESS = 2.0
Head = Literal["simcc", "heatmap", "heatmap-udp"]


@cache
def colours(count: int) -> np.ndarray:
    """(count, 3) RGB in 0..255, well apart from each other and from grey."""
    random = np.random.default_rng(5)
    chosen: list[np.ndarray] = []
    distance = 110.0
    while len(chosen) < count:
        for _ in range(300):
            one = random.integers(0, 256, 3).astype(np.float64)
            if np.ptp(one) > 60 and all(np.linalg.norm(one - other) > distance for other in chosen):
                chosen.append(one)
                break
        else:
            distance *= 0.95
    return np.array(chosen)


def dot_network(
    path: Path, joints: int, head: Head, size: tuple[int, int] = (96, 128), *, free: bool = False, order: int = 1
) -> Path:
    """Write a network that delivers the dots' middles. ``free``: its input's size is not fixed in the file.

    ``order``: -1 for a network that wants BGR.
    """
    wanted = ((colours(joints) - MEAN) / STD)[:, ::order]
    width, height = size
    tensors = {
        "ones": np.ones((joints, 3, 1, 1)),
        "minus_twice": -2.0 * wanted[:, :, None, None],
        "squares": (wanted**2).sum(axis=1),
        "minus": np.array([-SHARPNESS]),
    }
    nodes = [
        _node("Mul", ["input", "input"], "xx"),
        _node("Conv", ["xx", "ones"], "sum_xx"),
        _node("Conv", ["input", "minus_twice", "squares"], "rest"),
        _node("Add", ["sum_xx", "rest"], "distance"),
        _node("Mul", ["distance", "minus"], "cold"),
        _node("Exp", ["cold"], "near"),
    ]
    if head == "simcc":
        tensors |= {"bins_x": _sums(width, 2 * width), "bins_y": _sums(height, 2 * height), "last": np.array([3])}
        tensors |= {"rows": np.array([2]), "columns": np.array([3])}
        nodes += [
            _node("ReduceMax", ["near", "rows"], "along_x", keepdims=0),
            _node("ReduceMax", ["near", "columns"], "along_y", keepdims=0),
            _node("MatMul", ["along_x", "bins_x"], "simcc_x"),
            _node("MatMul", ["along_y", "bins_y"], "simcc_y"),
        ]
        outputs = {"simcc_x": [1, joints, 2 * width], "simcc_y": [1, joints, 2 * height]}
    else:
        udp = head == "heatmap-udp"
        tensors |= {
            "grid_x": _sums(width, width // 4, udp=udp, sigma=8.0),
            "grid_y": _sums(height, height // 4, udp=udp, sigma=8.0).T,
        }
        nodes += [_node("MatMul", ["near", "grid_x"], "wide"), _node("MatMul", ["grid_y", "wide"], "heatmap")]
        outputs = {"heatmap": [1, joints, height // 4, width // 4]}
    shape: list[int | str] = ["batch", 3, "height", "width"] if free else [1, 3, height, width]
    path.write_bytes(_model(nodes, tensors, {"input": shape}, outputs))
    return path


def _sums(pixels: int, bins: int, *, udp: bool = False, sigma: float = 3.0) -> FloatArray:
    """(pixels, bins) Gaussian weights, the highest for the bin that a pixel belongs to."""
    step = (pixels - 1) / (bins - 1) if udp else pixels / bins
    distance = np.arange(pixels)[:, None] - np.arange(bins)[None, :] * step
    return np.exp(-0.5 * (distance / sigma) ** 2) / 3.0


def identity_network(path: Path, outputs: Sequence[Sequence[int]]) -> Path:
    """A network that gives constants of these shapes, whatever it is shown."""
    tensors = {f"c{i}": np.full(tuple(shape), 0.5) for i, shape in enumerate(outputs)}
    nodes = [_node("Identity", [f"c{i}"], f"o{i}") for i in range(len(outputs))]
    model = _model(nodes, tensors, {"input": [1, 3, 128, 96]}, {f"o{i}": list(s) for i, s in enumerate(outputs)})
    path.write_bytes(model)
    return path


def network_of_inputs(path: Path, inputs: dict[str, list[int | str]], kind: int = _FLOAT) -> Path:
    """A network with these inputs, which it ignores."""
    nodes = [_node("Identity", ["c"], "o")]
    path.write_bytes(_model(nodes, {"c": np.zeros((1, 17, 8, 8))}, inputs, {"o": [1, 17, 8, 8]}, kind))
    return path


def network_with_weights_elsewhere(path: Path, weights: Path) -> Path:
    """A network whose numbers lie in another file beside it."""
    weights.write_bytes(np.zeros(17 * 64, dtype=np.float32).tobytes())
    where = _bytes(1, b"location") + _bytes(2, weights.name.encode())
    tensor = b"".join(_int(1, d) for d in (1, 17, 8, 8)) + _int(2, _FLOAT) + _bytes(8, b"c")
    tensor += _bytes(13, where) + _int(14, 1)
    graph = _bytes(1, _node("Identity", ["c"], "o")) + _bytes(2, b"g") + _bytes(5, tensor)
    graph += _bytes(11, _value("input", [1, 3, 128, 96])) + _bytes(12, _value("o", [1, 17, 8, 8]))
    path.write_bytes(_whole(graph))
    return path


def _model(
    nodes: Sequence[bytes],
    tensors: dict[str, np.ndarray],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int]],
    kind: int = _FLOAT,
) -> bytes:
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"dots")
    graph += b"".join(_bytes(5, _tensor(name, values)) for name, values in tensors.items())
    graph += b"".join(_bytes(11, _value(name, shape, kind)) for name, shape in inputs.items())
    graph += b"".join(_bytes(12, _value(name, list(shape))) for name, shape in outputs.items())
    return _whole(graph)


def _whole(graph: bytes) -> bytes:
    return _int(1, 9) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _int(2, 18))


def _node(operation: str, inputs: Sequence[str], output: str, **numbers: int) -> bytes:
    out = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode())
    out += _bytes(3, output.encode()) + _bytes(4, operation.encode())
    for name, value in numbers.items():
        out += _bytes(5, _bytes(1, name.encode()) + _int(3, value) + _int(20, 2))
    return out


def _tensor(name: str, values: np.ndarray) -> bytes:
    whole = np.issubdtype(values.dtype, np.integer)
    raw = values.astype("<i8" if whole else "<f4").tobytes()
    dims = b"".join(_int(1, size) for size in values.shape)
    return dims + _int(2, _INT64 if whole else _FLOAT) + _bytes(8, name.encode()) + _bytes(9, raw)


def _value(name: str, shape: Sequence[int | str], kind: int = _FLOAT) -> bytes:
    dims = b"".join(_bytes(1, _int(1, s) if isinstance(s, int) else _bytes(2, s.encode())) for s in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, dims)))


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
