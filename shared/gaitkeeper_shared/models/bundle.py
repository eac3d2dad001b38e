"""A model with its weights as bytes: safetensors with a JSON header. No pickle; hostile bytes are a catalogue error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.models.windows import windows_of_person
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.tensors import header_of

if TYPE_CHECKING:
    from gaitkeeper_shared.models.registry import GaitModel

BUNDLE_SCHEMA = "gaitkeeper.model/1"
MAX_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A model's specification and its weights by state-dict name, float32."""

    spec: ModelSpec
    weights: Mapping[str, Float32Array]

    @classmethod
    def initial(cls, spec: ModelSpec) -> ModelBundle:
        """The model before any training: deterministic for ``spec.seed``."""
        from gaitkeeper_shared.models.registry import build

        return cls(spec, weights_of(build(spec)))

    def module(self) -> GaitModel:
        """The model as a torch module in evaluation mode. Raises ``model-damaged`` where weights do not fit."""
        import torch

        from gaitkeeper_shared.models.registry import build

        model = build(self.spec)
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        given = {name: tuple(array.shape) for name, array in self.weights.items()}
        if expected != given:
            raise GaitkeeperError("model-damaged", detail="its weights do not fit the model that its header describes")
        if not all(bool(np.isfinite(array).all()) for array in self.weights.values()):
            raise GaitkeeperError("model-damaged", detail="a weight is not a finite number")
        tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in self.weights.items()}
        model.load_state_dict(tensors)
        return model.eval()

    def predict(self, windows: Float32Array) -> Float32Array:
        """(N, L) probabilities, one row per (T, C) window of the (N, T, C) ``windows``; of a model that tells a
        severity, (N, 1) severities in the study's own values."""
        import torch

        model = self.module()
        with torch.inference_mode():
            outputs = model(torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32)))
            answers: Float32Array = model.objective.answers(outputs).numpy()
        return answers

    def predict_person(self, windows: Float32Array) -> Float32Array:
        """(L,) probabilities or (1,) severity of one person: the mean over their (N, T, C) windows, N at least 1."""
        if windows.shape[0] == 0:
            raise ValueError("a person without a window cannot be judged")
        mean: Float32Array = self.predict(windows).mean(axis=0)
        return mean

    def windows(self, recordings: Iterable[Signals]) -> Float32Array:
        """(N, T, C) windows of a person's recordings, as this model wants them; N may be 0."""
        return windows_of_person(recordings, self.spec.input)

    def to_bytes(self) -> bytes:
        """safetensors; :meth:`from_bytes` is the inverse. The same bundle gives the same bytes."""
        from safetensors.numpy import save

        header = {"schema": BUNDLE_SCHEMA, "spec": self.spec.to_json()}
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in sorted(self.weights.items())}
        return save(arrays, metadata={"header": json.dumps(header, allow_nan=False, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelBundle:
        """Read and check what :meth:`to_bytes` wrote. Raises ``model-damaged`` for anything else."""
        from safetensors.numpy import load

        if len(data) > MAX_BYTES:
            raise GaitkeeperError("model-damaged", detail=f"{len(data)} bytes are more than any model of ours has")
        try:
            header = header_of(data, "header")
            if header["schema"] != BUNDLE_SCHEMA:
                raise ValueError(f"schema {header['schema']!r}, not {BUNDLE_SCHEMA!r}")
            bundle = cls(ModelSpec.from_json(header["spec"]), dict(load(data)))
            bundle.module()
        except GaitkeeperError:
            raise
        except Exception as error:  # safetensors raises its own type; every cause means the same to the caller
            raise GaitkeeperError("model-damaged", detail=str(error)) from error
        return bundle


def weights_of(model: GaitModel) -> dict[str, Float32Array]:
    """A model's weights by state-dict name, copied to float32 arrays."""
    return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in model.state_dict().items()}
