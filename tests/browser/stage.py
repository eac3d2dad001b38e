"""A site as a clinic has it: enrolled with a consortium that really serves, a model deployed, a console running."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.consortium.enrol import enrol
from gaitkeeper_client.consortium.releases import pull_once
from gaitkeeper_client.consortium.studies import fetch_offers
from gaitkeeper_client.signing.clinicians import add_clinician
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import create_key
from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.enrolment.studies import sign_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.deployments import deploy
from gaitkeeper_server.releases.publish import publish
from gaitkeeper_server.services import start_services
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.channels import CHANNELS
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.ports import free_port
from gaitkeeper_shared.study import Input

PASSWORD = "four words make one"
SIGNING = "sign with this one"
START_S = 240.0
LABELS = ("healthy", "parkinsonian", "hemiparetic")


@dataclass(frozen=True)
class Stage:
    """The address of the console, and the site behind it."""

    address: str
    console: Console
    process: subprocess.Popen[bytes]


def enrolled(folder: Path) -> SiteHome:
    """A site with a study on offer and release 1 active; the coordinator is gone again when this returns."""
    from gaitkeeper_client.consortium.policy import write_default_policy

    coordinator, site = CoordinatorHome(folder / "coordinator"), SiteHome(folder / "site")
    create_key(site)
    create_home(site, "clinic-north", "file")
    write_default_policy(site)
    ports = dict.fromkeys(("enrolment", "site", "fleet", "control"), 0)
    create_coordinator(coordinator, "walking-together", ("127.0.0.1",), ports=ports)
    services = start_services(coordinator)
    try:
        letter = folder / "invitation"
        letter.write_text(invite(coordinator, "clinic-north").to_text(), encoding="utf-8")
        enrol(site, letter)
        (folder / "study.toml").write_text(example_study("walks"))
        study = sign_study(coordinator, folder / "study.toml")
        fetch_offers(site)
        window = Input(channels=tuple(channel.name for channel in CHANNELS))
        spec = ModelSpec("lstm", 8, 1, 3, "all", window, LABELS, study.hash)
        publish(coordinator, 1, ModelBundle.initial(spec).to_bytes(), study="walks", study_hash=study.hash)
        deploy(coordinator, 1)
        assert pull_once(site).state == "activated"
    finally:
        services.stop()
    return site


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """The console as ``gaitkeeper site console`` runs it, with one person of each role."""
    home, port = enrolled(folder), free_port()
    from gaitkeeper_client.vault.keys import unlock

    console = Console.of(home, unlock(home), ConsoleSettings(port=port))
    for name, roles in {"anna": ("clinician",), "ivo": ("it",), "otto": ("auditor",)}.items():
        console.users.add(name, PASSWORD, roles)  # type: ignore[arg-type]
    add_clinician(home, "anna", "neurologist", SIGNING)
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "site", "console"]
    with (folder / "console.log").open("wb") as log:
        process = subprocess.Popen([*command, "--home", str(home.path), "--port", str(port)], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process, folder / "console.log")
        yield Stage(address, console, process)
    finally:
        process.terminate()
        process.wait(20)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/sign-in").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"no answer: {log.read_text()}")


def rendered_walk(path: Path, seconds: float = 5.0, size: tuple[int, int] = (960, 540)) -> None:
    """A video of a simulated walker seen from the side."""
    import cv2

    from gaitkeeper_shared.simulation.camera import camera_for
    from gaitkeeper_shared.simulation.patient import draw_patient
    from gaitkeeper_shared.simulation.render import frames
    from gaitkeeper_shared.simulation.walker import Walk

    walk = Walk(draw_patient("browser", "hemiparetic", 4), seconds)
    camera = camera_for(walk.trajectories(100.0).positions, size, "side", "left_to_right")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, size)
    try:
        for image in frames(walk, camera, 30.0):
            writer.write(image)
    finally:
        writer.release()
