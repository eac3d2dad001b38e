"""The weights of a study's first round: drawn at random, or trained on synthetic patients and registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Study

if TYPE_CHECKING:
    from gaitkeeper_server.registry.registry import Registry

_HEAD = "head."


def start_run(study_hash: str) -> str:
    """The name under which a study's pretraining is registered: one for each study file."""
    return f"pretrain-{study_hash[:24]}"


def registered_start(registry: Registry, study: Study, study_hash: str) -> tuple[int, ModelBundle] | None:
    """Number and model of the version that ``study`` starts from; None for a study that starts at random.

    Raises ``model-start-missing`` where it was not made yet.
    """
    if study.model.start == "random":
        return None
    for item in registry.versions():
        if item.run == start_run(study_hash) and item.study_hash == study_hash:
            return item.version, ModelBundle.from_bytes(registry.bundle_bytes(item.version))
    raise GaitkeeperError("model-start-missing", study=study.name)


def first_weights(spec: ModelSpec, start: ModelBundle | None) -> Weights:
    """The weights of a run's first round: ``start``'s encoder under a head as it was drawn; all drawn without one.

    Raises ``model-damaged`` where they do not fit.
    """
    weights = dict(ModelBundle.initial(spec).weights)
    if start is None:
        return weights
    for name, drawn in weights.items():
        if name.startswith(_HEAD):
            continue
        found = start.weights.get(name)
        if found is None or found.shape != drawn.shape:
            raise GaitkeeperError("model-damaged", detail=f"the start's weights lack {name} in this model's shape")
        weights[name] = np.array(found, dtype=np.float32)
    return weights
