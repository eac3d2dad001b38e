"""``gaitkeeper site analyze`` with a real vault, real enrolment, and a release that came over real gRPC."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from insight_walk_file import write_walk
from typer.testing import CliRunner, Result

from gaitkeeper_client.cli import site_analyze
from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.consortium.releases import pull_once
from gaitkeeper_client.signing.kept import list_for
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import create_key, unlock
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.deployments import deploy
from gaitkeeper_server.releases.publish import publish
from gaitkeeper_server.services import start_services
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.channels import CHANNELS
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINTS
from gaitkeeper_shared.study import Input
from gaitkeeper_shared.trust.audit import AuditLog

PATIENT = "Mrs Example 1951"
STUDY_HASH = "7" * 64


@pytest.fixture(scope="module")
def walk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic walk as a laboratory's file."""
    path = tmp_path_factory.mktemp("walk") / "walk.bvh"
    write_walk(path)
    return path


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    """A site with one patient in its vault."""
    place = SiteHome(tmp_path / "site")
    key = create_key(place)
    create_home(place, "clinic-test", "file")
    with Vault.open(place, key) as vault:
        facts = PatientFacts(PATIENT, "healthy", 71, "female", 1.64)
        vault.add(facts, _small_recording(), RecordingFacts("ef" * 32, "x.mp4", "2026-01-01T00:00:00+00:00"))
    return place


@pytest.fixture
def deployed(home: SiteHome, tmp_path: Path) -> SiteHome:
    """The site, enrolled, with release 1 pulled from a coordinator that really serves."""
    coordinator = CoordinatorHome(tmp_path / "coordinator")
    create_coordinator(
        coordinator, "test", ("127.0.0.1",), ports=dict.fromkeys(("enrolment", "site", "fleet", "control"), 0)
    )
    services = start_services(coordinator)
    try:
        letter = tmp_path / "invitation"
        letter.write_text(invite(coordinator, "clinic-test").to_text(), encoding="utf-8")
        enrol(home, letter)
        window = Input(channels=tuple(channel.name for channel in CHANNELS))
        spec = ModelSpec("lstm", 8, 1, 3, "all", window, ("healthy", "parkinsonian", "hemiparetic"), STUDY_HASH)
        publish(coordinator, 1, ModelBundle.initial(spec).to_bytes(), study="gait-test", study_hash=STUDY_HASH)
        deploy(coordinator, 1)
        assert pull_once(home).state == "activated"
    finally:
        services.stop()
    return home


def _small_recording() -> Recording:
    time_s = np.arange(30) / 30.0
    tracks = JointTrajectories(time_s, np.ones((30, len(JOINTS), 2)), "m", np.ones((30, len(JOINTS))))
    return Recording(tracks, (), Signals(time_s, ("trunk_lean",), np.ones((30, 1), dtype=np.float32)))


def run(*arguments: str) -> Result:
    """The command as ``gaitkeeper site`` runs it; catalogue errors come out as exceptions."""
    app = typer.Typer()
    app.callback()(lambda: None)
    site_analyze.register(app)
    return CliRunner().invoke(app, ["analyze", *arguments])


def test_without_a_model_the_measurements_stand_alone(home: SiteHome, walk_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(str(walk_file), "--home", str(home.path), "--output", str(out), "--json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert table == json.loads((out / "analysis.json").read_text("utf-8"))
    assert table["schema"] == "gaitkeeper.analysis/1"
    assert table["parameters"]["cadence"]["value"] > 60
    assert table["findings"]["status"] == "no_model"
    assert "No model is deployed" in (out / "report.html").read_text("utf-8")


def test_the_deployed_model_is_asked_and_explained(deployed: SiteHome, walk_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(str(walk_file), "--home", str(deployed.path), "--patient", PATIENT, "--output", str(out), "--json")
    assert result.exit_code == 0, result.output
    findings = json.loads(result.stdout)["findings"]
    assert findings["status"] in ("decided", "undecided")
    assert findings["model"]["version"] == "1"
    assert findings["model"]["study"]["name"] == "gait-test"
    assert sum(item["probability"] for item in findings["probabilities"]) == pytest.approx(1.0, abs=1e-4)
    assert findings["explanations"]
    assert findings["explanations"][0]["residual"] < 0.1
    report = (out / "report.html").read_text("utf-8")
    assert "gait-test" in report
    with Vault.open(deployed, unlock(deployed)) as vault:
        kept = list_for(vault, vault.named(PATIENT).pseudonym)
    assert [(one.state, one.model_version) for one in kept] == [("draft", "1")]
    assert json.loads(result.stdout)["report"] == {"id": kept[0].id, "status": "draft", "signed_by": None}
    with Vault.open(deployed, unlock(deployed)) as vault:
        pseudonym = vault.patients()[0].pseudonym
    assert pseudonym in report
    log = deployed.audit_log.read_text("utf-8")
    for text in (result.output, report, log):
        assert PATIENT not in text
    entry = [item for item in AuditLog(deployed.audit_log).entries() if item.event == "analysed"][-1]
    assert entry.facts["patient"] == pseudonym
    assert entry.facts["model_version"] == "1"


def test_a_damaged_release_is_not_asked(deployed: SiteHome, walk_file: Path, tmp_path: Path) -> None:
    path = deployed.releases / "1" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    out = tmp_path / "out"
    result = run(str(walk_file), "--home", str(deployed.path), "--output", str(out))
    assert isinstance(result.exception, GaitkeeperError)
    assert result.exception.code == "release-damaged"
    assert not out.exists()


def test_an_unknown_patient_and_an_unmade_site_are_told(home: SiteHome, walk_file: Path, tmp_path: Path) -> None:
    unknown = run(str(walk_file), "--home", str(home.path), "--patient", "nobody")
    assert isinstance(unknown.exception, GaitkeeperError)
    assert unknown.exception.code == "patient-unknown"
    nowhere = run(str(walk_file), "--home", str(tmp_path / "nowhere"))
    assert isinstance(nowhere.exception, GaitkeeperError)
    assert nowhere.exception.code == "site-not-initialised"
