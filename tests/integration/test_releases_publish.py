"""What becomes a release at the coordinator: a model of a study that was signed, under a version that never changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from trust_fixtures import Consortium, model_of, refused, running

from gaitkeeper_server.enrolment.studies import SignedStudy
from gaitkeeper_server.releases.promotion import release_from_registry
from gaitkeeper_server.releases.publish import model_path, publish


@dataclass(frozen=True)
class Shelf:
    """A registry that holds one model under every version."""

    data: bytes

    def bundle_bytes(self, version: int) -> bytes:
        return self.data


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with running(tmp_path_factory.mktemp("consortium")) as made:
        yield made


@pytest.fixture(scope="module")
def study(consortium: Consortium) -> SignedStudy:
    return consortium.signed_study()


def test_a_version_never_changes(consortium: Consortium, study: SignedStudy) -> None:
    facts = {"study": study.study.name, "study_hash": study.hash}
    model = model_of(study, seed=1)
    for _ in range(2):  # the same once more is no change
        assert publish(consortium.home, 1, model, **facts).version == 1
    with refused("release-exists"):
        publish(consortium.home, 1, model_of(study, seed=5), **facts)
    assert model_path(consortium.home, 1).read_bytes() == model


def test_promotion_takes_a_model_of_a_signed_study_only(consortium: Consortium, study: SignedStudy) -> None:
    manifest = release_from_registry(consortium.home, 4, source=Shelf(model_of(study)))
    assert (manifest.version, manifest.study_hash) == (4, study.hash)
    with refused("release-model-unusable"):
        release_from_registry(consortium.home, 5, source=Shelf(b"junk"))
    stranger = SignedStudy(study.study, "0" * 64, study.data)
    with refused("study-not-signed"):
        release_from_registry(consortium.home, 5, source=Shelf(model_of(stranger)))
