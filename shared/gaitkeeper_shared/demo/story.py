"""What the demo tells: each function is one act, made of the commands that a person would type."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gaitkeeper_shared.demo.stage import Stage
from gaitkeeper_shared.errors import GaitkeeperError

MARKER = ".gaitkeeper-demo"
STUDY_NAME = "walking-patterns"


@dataclass(frozen=True, slots=True)
class Clinic:
    """A clinic of the demo: its camera and the mix of its patients."""

    name: str
    disorders: str
    frame_rate_hz: int
    size: str
    view: str
    seed: int


CLINICS = (
    Clinic("north", "healthy,parkinsonian,parkinsonian,healthy,hemiparetic", 30, "960x540", "side", 11),
    Clinic("harbour", "healthy,hemiparetic,healthy,antalgic", 25, "640x360", "side", 22),
    Clinic("valley", "parkinsonian,healthy,hemiparetic,ataxic,antalgic", 30, "1280x720", "side", 33),
)
"""Unequal cameras, and unequal mixes: the disorders are dealt out to a clinic's patients in turn."""


@dataclass(slots=True)
class Demo:
    """Where the demo lives and what it has found out so far; ``seconds`` per act goes into the summary."""

    stage: Stage
    folder: Path
    patients: int
    rounds: int
    video: Path | None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def coordinator(self) -> str:
        """The coordinator's home, as an argument."""
        return str(self.folder / "coordinator")

    def site(self, clinic: Clinic) -> str:
        """A clinic's home, as an argument."""
        return str(self.folder / clinic.name)


def prepare_folder(folder: Path) -> None:
    """An empty demo folder; only a folder that an earlier demo made is removed."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise GaitkeeperError("demo-folder-foreign", path=folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Made by 'gaitkeeper demo'; the next demo removes this folder.\n", "utf-8")


def play(demo: Demo) -> dict[str, Any]:
    """The whole story; returns the summary that is also written to ``summary.json``."""
    acts: tuple[tuple[str, Callable[[Demo], None]], ...] = (
        ("coordinator", found_consortium),
        ("patients", film_patients),
        ("sites", open_sites),
        ("ingest", ingest_videos),
        ("study", agree_on_study),
        ("training", train),
        ("release", release),
        ("report", report_on_new_patient),
    )
    begin = time.monotonic()
    for name, act in acts:
        start = time.monotonic()
        act(demo)
        demo.seconds[name] = round(time.monotonic() - start, 1)
        demo.stage.console.print(f"  [green]done[/] in {demo.seconds[name]:.0f} s")
    demo.seconds["total"] = round(time.monotonic() - begin, 1)
    return write_summary(demo)


def found_consortium(demo: Demo) -> None:
    demo.stage.tell(
        "1. A consortium is founded",
        "The coordinator makes its certificate authority and its signing key, and starts its servers.",
    )
    demo.stage.run(
        "coordinator", "init", "--home", demo.coordinator, "--name", "gait-consortium", "--host", "127.0.0.1"
    )
    demo.stage.serve("coordinator", "start", "--home", demo.coordinator)


def film_patients(demo: Demo) -> None:
    demo.stage.tell(
        "2. Three clinics film their patients",
        "The patients are synthetic, so that nobody's walk is shown here; cameras and disorders differ by clinic.",
    )
    for clinic in CLINICS:
        demo.stage.run(
            "simulate", str(demo.folder / "cohorts" / clinic.name),
            "--patients", str(demo.patients), "--disorders", clinic.disorders, "--fps", str(clinic.frame_rate_hz),
            "--size", clinic.size, "--view", clinic.view, "--strides", "4", "--seed", str(clinic.seed),
            deadline_s=300,
        )  # fmt: skip


def open_sites(demo: Demo) -> None:
    demo.stage.tell(
        "3. Each clinic opens its site and enrols",
        "Keys are made at the clinic and stay there; an invitation works once and pins the coordinator's root.",
    )
    demo.stage.run_together([("site", "init", "--home", demo.site(c), "--name", c.name) for c in CLINICS])
    for clinic in CLINICS:
        invitation = str(demo.folder / f"{clinic.name}.invitation")
        demo.stage.run("coordinator", "invite", clinic.name, "--home", demo.coordinator, "--output", invitation)
    demo.stage.run_together(
        [("site", "enrol", str(demo.folder / f"{c.name}.invitation"), "--home", demo.site(c)) for c in CLINICS]
    )


def ingest_videos(demo: Demo) -> None:
    demo.stage.tell(
        "4. Videos become poses, poses become gait cycles",
        "Each clinic finds the walking person, measures the gait and stores it encrypted. Videos are not kept.",
    )
    for clinic in CLINICS:
        cohort = str(demo.folder / "cohorts" / clinic.name / "cohort.csv")
        demo.stage.run("site", "ingest", cohort, "--home", demo.site(clinic), deadline_s=600)


def agree_on_study(demo: Demo) -> None:
    demo.stage.tell(
        "5. A study is signed, and each clinic approves it",
        "The study says what is learned and what it costs in privacy. A site trains nothing that it did not approve.",
    )
    study = demo.folder / "study.toml"
    study.write_text(study_text(demo), "utf-8")
    demo.stage.run("coordinator", "study", "sign", str(study), "--home", demo.coordinator)
    demo.stage.run_together([("site", "studies", "--home", demo.site(c)) for c in CLINICS])
    demo.stage.run_together([("site", "approve", STUDY_NAME, "--yes", "--home", demo.site(c)) for c in CLINICS])


def train(demo: Demo) -> None:
    demo.stage.tell(
        "6. The clinics train together",
        "Each round, a site charges its privacy ledger, trains on its own patients with noise, and sends weights only.",
    )
    demo.stage.serve_together([("site", "start", "--home", demo.site(c)) for c in CLINICS])
    output = demo.stage.run(
        "coordinator", "train", str(demo.folder / "study.toml"), "--wait", "--home", demo.coordinator, deadline_s=300
    )
    demo.stage.console.print(output.rstrip(), highlight=False, markup=False)


def release(demo: Demo) -> None:
    demo.stage.tell(
        "7. The model comes back, signed",
        "The new version is promoted; each site checks signature and hash, switches over, and acknowledges.",
    )
    version = str(_latest_model(demo)["version"])
    demo.stage.run("coordinator", "promote", version, "--home", demo.coordinator)
    deadline = time.monotonic() + 60
    while not all(item["state"] == "active" for item in _deployments(demo)):
        if time.monotonic() > deadline:
            hint = "Look at 'gaitkeeper coordinator deployments' and the sites' logs."
            raise GaitkeeperError("timeout", what="The deployment to the sites", seconds=60.0, hint=hint)
        time.sleep(1)
    demo.stage.console.print(
        demo.stage.run("coordinator", "deployments", "--home", demo.coordinator).rstrip(), highlight=False, markup=False
    )


def report_on_new_patient(demo: Demo) -> None:
    demo.stage.tell(
        "8. A new patient walks in",
        "One clinic analyses a video that nobody trained on, with the released model. The clinician reads the report.",
    )
    video, height = demo.video, None
    if video is None:
        cohort = demo.folder / "cohorts" / "new-patient"
        demo.stage.run(
            "simulate", str(cohort), "--patients", "1", "--disorders", "parkinsonian", "--fps", "30",
            "--size", "960x540", "--view", "side", "--seed", "99", "--height-range", "1.71-1.71",
        )  # fmt: skip
        video = next((cohort / "videos").glob("*.mp4"))
        height = "1.71"
    scale = ["--height", height] if height else []
    demo.stage.run(
        "site", "analyze", str(video), *scale, "--home", demo.site(CLINICS[0]), "--output", str(demo.folder / "report"),
    )  # fmt: skip


def _json(demo: Demo, *arguments: str) -> Any:
    return json.loads(demo.stage.run(*arguments, "--home", demo.coordinator, "--json"))


def _latest_model(demo: Demo) -> dict[str, Any]:
    models: list[dict[str, Any]] = _json(demo, "coordinator", "models")
    return max(models, key=lambda item: int(item["version"]))


def _deployments(demo: Demo) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = _json(demo, "coordinator", "deployments")
    return items


def write_summary(demo: Demo) -> dict[str, Any]:
    """``summary.json``: rounds, sites, epsilon per site, model version, deployments, timings."""
    run = _json(demo, "coordinator", "runs")[0]
    summary = {
        "schema": "gaitkeeper.demo/1",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
        "model": _latest_model(demo),
        "deployments": _deployments(demo),
        "seconds": demo.seconds,
    }
    (demo.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return summary


def study_text(demo: Demo) -> str:
    """The demo's study: healthy against a disorder of gait, from sagittal kinematics."""
    delta = min(0.01, 0.5 / demo.patients)
    return _STUDY.format(name=STUDY_NAME, rounds=demo.rounds, patients=demo.patients, delta=delta)


_STUDY = """\
schema = "gaitkeeper.study/1"
name = "{name}"
title = "Does this walk show a disorder of gait?"

[task]
labels = ["healthy", "disorder"]
[task.map]
parkinsonian = "disorder"
hemiparetic = "disorder"
ataxic = "disorder"
antalgic = "disorder"

[input]
channels = [
    "hip_flexion_left", "hip_flexion_right", "knee_flexion_left", "knee_flexion_right",
    "ankle_dorsiflexion_left", "ankle_dorsiflexion_right", "foot_forward_left", "foot_forward_right",
    "hand_forward_left", "hand_forward_right", "trunk_lean",
]
rate_hz = 25.0
window_s = 2.0
hop_s = 0.5
max_windows = 8

[model]
kind = "lstm"
hidden = 16

[training]
rounds = {rounds}
local_steps = 2
learning_rate = 0.5
momentum = 0.9

[privacy]
unit = "patient"
epsilon = 8.0
delta = {delta:g}
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = {patients}

[evaluation]
holdout = 0.25
epsilon = 4.0

[federation]
quorum = 3
deadline_s = 120.0
"""
