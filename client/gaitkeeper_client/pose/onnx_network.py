"""A top-down pose network in an ONNX file that the site gave: loaded, checked, asked. On onnxruntime, on the CPU."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaitkeeper_client.capture.cores import threads_allowed
from gaitkeeper_client.capture.quiet import silent_stderr
from gaitkeeper_client.pose.crop import Crop
from gaitkeeper_client.pose.heads import decode_heatmaps, decode_simcc
from gaitkeeper_client.pose.network_card import NetworkCard, card_of
from gaitkeeper_client.pose.skeletons import OF_NETWORKS
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import Skeleton

LARGEST_BYTES = 2_000_000_000
"""An ONNX file cannot be larger: protobuf's limit."""
_KINDS: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    kind: type[np.floating[Any]]
    size: tuple[int, int]


class PoseNetwork:
    """A network that sees one person in a crop and gives one point for each of its skeleton's joints.

    Raises, when made: ``pose-network-missing``, ``pose-network-unreadable``, ``pose-network-input``,
    ``pose-network-heads``, ``pose-network-joints``, ``pose-network-skeleton`` or ``pose-network-card``. What the
    network delivers is tried on a black picture, not believed from its file.
    """

    def __init__(self, path: Path, skeleton: str | None = None) -> None:
        self.path = path
        self.card: NetworkCard = card_of(path)
        wanted = _skeleton_named(skeleton or self.card.skeleton)
        content = _read(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._session = _session(path, content)
        self._input = self._read_input()
        mean, std = np.array(self.card.mean, dtype=np.float32), np.array(self.card.std, dtype=np.float32)
        self._factor, self._offset = 1.0 / std, -mean / std
        joints = self._ask(np.zeros((*self.size[::-1], 3), dtype=np.uint8))[1].size
        self.skeleton = wanted or _skeleton_of(path, joints)
        if len(self.skeleton.points) != joints:
            expected = len(self.skeleton.points)
            raise GaitkeeperError(
                "pose-network-joints",
                path=path,
                joints=joints,
                skeleton=skeleton or self.skeleton.name,
                needed=expected,
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what it looks at."""
        return self._input.size

    def points(self, image: NDArray[np.uint8], crop: Crop) -> tuple[FloatArray, FloatArray]:
        """(P, 2) points in pixels of an (H, W, 3) RGB picture and (P,) confidence, of the skeleton's points."""
        points, confidence = self._ask(crop.cut(image))
        return crop.back(points), confidence

    def _ask(self, picture: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        if self.card.colour == "bgr":
            picture = picture[..., ::-1]
        values = (picture * self._factor + self._offset).transpose(2, 0, 1)[None]
        batch = np.ascontiguousarray(values, dtype=self._input.kind)
        try:
            with silent_stderr():
                outputs = self._session.run(None, {self._input.name: batch})
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise GaitkeeperError("pose-network-failed", path=self.path, detail=_first_line(error)) from error
        return self._decode([np.asarray(output, dtype=np.float64) for output in outputs])

    def _decode(self, outputs: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        shapes = [output.shape for output in outputs]
        width, height = self.size
        if not all(np.isfinite(output).all() for output in outputs):
            raise GaitkeeperError("pose-network-failed", path=self.path, detail="it gives values that are no numbers")
        if len(outputs) == 1 and len(shapes[0]) == 4 and shapes[0][0] == 1 and min(shapes[0][2:]) >= 3:
            return decode_heatmaps(outputs[0][0], self.size, self.card.heatmap)
        if len(outputs) == 2 and all(len(shape) == 3 and shape[0] == 1 for shape in shapes):
            (_, joints, bins_x), (_, also, bins_y) = shapes
            # Both rows have the same number of bins per pixel; a crop that is not square tells which is x.
            if joints == also and bins_x * height == bins_y * width and min(bins_x, bins_y) >= 3:
                return decode_simcc(outputs[0][0], outputs[1][0], self.size)
        found = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise GaitkeeperError("pose-network-heads", path=self.path, found=found)

    def _read_input(self) -> _Input:
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        kind = _KINDS.get(inputs[0].type) if inputs else None
        # A dimension that the file leaves open has a name or nothing in place of a number.
        if len(inputs) != 1 or kind is None or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            found = "; ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs) or "none"
            raise GaitkeeperError("pose-network-input", path=self.path, found=found)
        height, width = (
            side if isinstance(side, int) and side > 0 else free
            for side, free in zip(shape[2:], self.card.input_size[::-1], strict=True)
        )
        return _Input(inputs[0].name, kind, (width, height))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise GaitkeeperError("pose-network-unreadable", path=path, detail="it is larger than an ONNX file can be")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise GaitkeeperError("pose-network-missing", path=path) from error
    except OSError as error:
        raise GaitkeeperError("pose-network-unreadable", path=path, detail=error.strerror or str(error)) from error


def _session(path: Path, content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads_allowed()
    # What runs is what was hashed: weights in further files would not be.
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-") as nothing:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nothing)
        try:
            with silent_stderr():
                return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            detail = "its weights lie in another file" if "External data" in str(error) else _first_line(error)
            raise GaitkeeperError("pose-network-unreadable", path=path, detail=detail) from error


def _skeleton_named(name: str | None) -> Skeleton | None:
    if name is None:
        return None
    if name not in OF_NETWORKS:
        raise GaitkeeperError("pose-network-skeleton", name=name, known=", ".join(OF_NETWORKS))
    return OF_NETWORKS[name]


def _skeleton_of(path: Path, joints: int) -> Skeleton:
    """Where nobody says: the one known skeleton with so many points."""
    for skeleton in OF_NETWORKS.values():
        if len(skeleton.points) == joints:
            return skeleton
    known = ", ".join(f"{name} ({len(skeleton.points)})" for name, skeleton in OF_NETWORKS.items())
    raise GaitkeeperError("pose-network-joints-unknown", path=path, joints=joints, known=known)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300].rstrip(".") if text else type(error).__name__
