"""A coordinator with real gRPC servers on loopback, and sites enrolled with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.enrolment.studies import SignedStudy, sign_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.services import start_services
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.keys import VerifyingKey

FREE_PORTS = {"enrolment": 0, "site": 0, "fleet": 0, "control": 0}


@dataclass(frozen=True)
class Consortium:
    """A running coordinator and the folder in which sites are made."""

    home: CoordinatorHome
    folder: Path

    @property
    def store(self) -> CoordinatorStore:
        return CoordinatorStore(self.home.store)

    def invitation(self, name: str, **options: object) -> Path:
        path = self.folder / f"{name}.invitation"
        path.write_text(invite(self.home, name, **options).to_text())  # type: ignore[arg-type]
        return path

    def site(self, name: str) -> SiteHome:
        """An enrolled site."""
        home = new_site(self.folder / name, name)
        enrol(home, self.invitation(name))
        return home

    def signed_study(self, name: str = "walks") -> SignedStudy:
        path = self.folder / f"{name}.toml"
        path.write_text(example_study(name))
        return sign_study(self.home, path)


def refused(code: str) -> pytest.RaisesExc[GaitkeeperError]:
    """Expects this catalogue error."""
    return pytest.RaisesExc(GaitkeeperError, check=lambda error: error.code == code)


def new_site(path: Path, name: str) -> SiteHome:
    home = SiteHome(path)
    create_home(home, name, "file")
    return home


@contextmanager
def running(
    folder: Path, clock: Clock = utc_now, *, cosigners: tuple[VerifyingKey, ...] = (), threshold: int = 1
) -> Iterator[Consortium]:
    """A coordinator that answers until the block ends."""
    home = CoordinatorHome(folder / "coordinator")
    create_coordinator(home, "tri", ("127.0.0.1",), ports=FREE_PORTS, cosigners=cosigners, threshold=threshold)
    services = start_services(home, clock=clock)
    try:
        yield Consortium(home, folder)
    finally:
        services.stop(0.2)


def model_of(study: SignedStudy, seed: int = 0) -> bytes:
    """An untrained model of the study: the smallest thing that is a real bundle."""
    spec = ModelSpec.of(study.study, study.hash)
    bundle = ModelBundle.initial(spec)
    shifted = {name: array + seed for name, array in bundle.weights.items()}
    return ModelBundle(spec, shifted).to_bytes()
