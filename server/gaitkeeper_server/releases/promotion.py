"""From the registry to a release: a model version's bytes, checked to be what they say, then signed."""

from __future__ import annotations

from typing import Protocol

from gaitkeeper_server.enrolment.studies import signed_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.publish import LARGEST_VERSION, publish
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.release import Manifest


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
    if source is None:
        from gaitkeeper_server.registry import Registry

        registry = Registry(home)
        parents = tuple(str(parent) for parent in registry.version(version).parents)
        source = registry
    model = source.bundle_bytes(version)
    try:
        spec = ModelBundle.from_bytes(model).spec
    except GaitkeeperError as error:
        raise GaitkeeperError("release-model-unusable", version=version, detail=error.message) from error
    study = signed_study(home, spec.study_hash)
    return publish(home, version, model, study=study.study.name, study_hash=study.hash, parents=parents, notes=notes)
