"""From the registry to a release: a model version's bytes, checked to be what they say, then signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gaitkeeper_server.enrolment.studies import signed_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import LARGEST_VERSION, publish
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.release import Manifest, Validation


class ModelSource(Protocol):
    """Where the bytes of model versions come from."""

    def bundle_bytes(self, version: int) -> bytes:
        """A version's model bundle. Raises a catalogue error where there is none."""
        ...


def release_from_registry(
    home: CoordinatorHome, version: int, *, notes: str = "", source: ModelSource | None = None
) -> Manifest:
    """Release a version of the registry. The study comes from the model's own header and must be one signed here.

    Raises ``release-model-unusable``, ``study-not-signed``, ``release-exists`` or what the registry raises.
    """
    from gaitkeeper_shared.models.bundle import ModelBundle

    if version > LARGEST_VERSION:
        raise GaitkeeperError("model-version-unknown", version=version)
    parents: tuple[str, ...] = ()
    validated: Validation | None = None
    if source is None:
        from gaitkeeper_server.registry import Registry

        registry = Registry(home)
        known = registry.version(version)
        parents = tuple(str(parent) for parent in known.parents)
        validated = validation_of(known.metrics)
        source = registry
    model = source.bundle_bytes(version)
    try:
        spec = ModelBundle.from_bytes(model).spec
    except GaitkeeperError as error:
        raise GaitkeeperError("release-model-unusable", version=version, detail=error.message) from error
    study = signed_study(home, spec.study_hash)
    return publish(
        home,
        version,
        model,
        study=study.study.name,
        study_hash=study.hash,
        parents=parents,
        notes=notes,
        validated=validated,
    )


def validation_of(metrics: Mapping[str, float]) -> Validation | None:
    """What a version's metrics tell of its validation; None where nothing was evaluated."""
    made = Validation(
        sites=round(metrics.get("evaluating_sites", 0.0)),
        rounds=round(metrics.get("rounds", 0.0)),
        accuracy=metrics.get("noised_accuracy"),
        mean_absolute_error=metrics.get("noised_mean_absolute_error"),
        rank_correlation=metrics.get("noised_rank_correlation"),
    )
    told = made.accuracy is not None or made.mean_absolute_error is not None
    return made if made.sites and told else None
