"""DeepLabCut's HDF5: a pandas table as PyTables stores it, read with h5py.

pandas keeps the names of the columns as a pickled list of tuples of texts. Unpickling runs whatever a file asks for, so
that the few operations such a list consists of are interpreted here, and anything else is refused.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from gaitkeeper_client.lab.text import broken
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError

_FORMAT = "DeepLabCut H5"
_MOST_BLOCKS = 64
Column = tuple[str, str, str]


def read_columns(path: Path) -> tuple[list[Column], FloatArray, list[float] | None]:
    """Columns as (individual, body part, coordinate), the (T, C) values, and the number of each row's frame (None where
    the rows bear none). Raises ``lab-file-broken``."""
    import h5py

    try:
        path.stat()
        with h5py.File(path, "r") as file:
            group = next((item for item in file.values() if isinstance(item, h5py.Group)), None)
            if group is None:
                names = ", ".join(sorted(file)[:4]) or "nothing"
                broken(path, _FORMAT, f"it holds no table as DeepLabCut writes it, but {names}")
            labels, blocks = _table_blocks(group) if "table" in group else _fixed_blocks(group)
            frames = _frames(group["table"]["index"] if "table" in group else group.get("axis1"), len(blocks))
    except GaitkeeperError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror) from error
        # PyTables has compressions of its own, such as blosc, that other programs do not know.
        why = "it is no HDF5 file, is cut off, or is compressed in a way of PyTables alone (use zlib or none)"
        broken(path, _FORMAT, why)
    except Exception as error:  # the library raises whatever its C part meets
        broken(path, _FORMAT, f"its layout is not that of a pandas table ({error})")
    columns: list[Column] = []
    for label in labels:
        if len(label) not in (3, 4):
            broken(path, _FORMAT, f"a column has {len(label)} names instead of scorer, body part and coordinate")
        columns.append((label[1] if len(label) == 4 else "", label[-2], label[-1]))
    if blocks.ndim != 2 or blocks.shape[1] != len(columns):
        broken(path, _FORMAT, f"it names {len(columns)} columns and holds an array of shape {blocks.shape}")
    return columns, blocks, frames


def _frames(index: Any, rows: int) -> list[float] | None:
    """The rows' own numbers, where their names are whole numbers."""
    if index is None or getattr(index, "shape", None) != (rows,) or index.dtype.kind not in "iu":
        return None
    return [float(number) for number in index[()]]


def _table_blocks(group: Any) -> tuple[list[tuple[str, ...]], FloatArray]:
    table = group["table"]
    labels: list[tuple[str, ...]] = []
    blocks = []
    for number in range(_MOST_BLOCKS):
        name = f"values_block_{number}"
        if name not in (table.dtype.names or ()):
            break
        labels += _labels(bytes(table.attrs[f"{name}_kind"]))
        block = np.asarray(table[name], dtype=np.float64)
        blocks.append(block.reshape(block.shape[0], -1))
    return labels, np.concatenate(blocks, axis=1)


def _fixed_blocks(group: Any) -> tuple[list[tuple[str, ...]], FloatArray]:
    labels: list[tuple[str, ...]] = []
    blocks = []
    for number in range(min(int(group.attrs["nblocks"]), _MOST_BLOCKS)):
        stem = f"block{number}_items"
        levels = []
        for level in range(int(group.attrs[f"{stem}_nlevels"])):
            names = [bytes(name).decode("utf-8") for name in group[f"{stem}_level{level}"][()]]
            levels.append([names[int(code)] for code in group[f"{stem}_label{level}"][()]])
        labels += list(zip(*levels, strict=True))
        blocks.append(np.asarray(group[f"block{number}_values"], dtype=np.float64))
    return labels, np.concatenate(blocks, axis=1)


def _labels(pickled: bytes) -> list[tuple[str, ...]]:
    found = plain_value(pickled)
    if not isinstance(found, list) or not all(
        isinstance(label, tuple) and all(isinstance(word, str) for word in label) for label in found
    ):
        raise ValueError("the columns are not named by texts")
    return found


def plain_value(pickled: bytes) -> Any:
    """Lists, tuples, texts and whole numbers out of a pickle, without unpickling it. ``ValueError`` for all else."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    mark = object()
    for operation, argument, _ in pickletools.genops(pickled):
        name = operation.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name == "MARK":
            stack.append(mark)
        elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append([] if name == "EMPTY_LIST" else ())
        elif name in _CONSTANTS:
            stack.append(argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        else:
            _collect(name, stack, mark)
    raise ValueError("the list has no end")


_CONSTANTS = {
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "NONE",
}  # fmt: skip


def _collect(name: str, stack: list[Any], mark: object) -> None:
    """The operations that put what lies on the stack into a list or a tuple."""
    if name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("LIST", "TUPLE", "APPENDS"):
        start = len(stack) - 1 - stack[::-1].index(mark)
        items = stack[start + 1 :]
        del stack[start:]
        if name == "APPENDS":
            stack[-1].extend(items)
        else:
            stack.append(items if name == "LIST" else tuple(items))
    else:
        raise ValueError(f"the names of its columns hold the operation {name}")
