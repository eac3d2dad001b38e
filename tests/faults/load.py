"""A consortium of 200 sites comes all at once: what the coordinator's own services take, and what fails."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tests.faults.page import write_part
from tests.faults.readings import memory_mib
from tests.faults.served import coordinator
from tests.faults.workers import begin_worker
from tests.integration.trust_fixtures import FREE_PORTS, new_site
from tests.measured import commit

from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.invitations import invite
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.enrolment.studies import SignedStudy, sign_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases.deployments import deploy, deployments
from gaitkeeper_server.releases.publish import publish
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec

WORKERS = 4
PHASE_S = 600.0


@dataclass(frozen=True, slots=True)
class Try:
    """What one site did in a phase. ``seconds``: until it had what it wanted. ``failures``: codes of tries before."""

    did: str
    seconds: float
    failures: tuple[str, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class Errand:
    """What a site is to do: ``enrol`` with its invitation, or ``fetch`` the release that it was ordered."""

    did: str
    site: Path


def main(words: Sequence[str]) -> int:
    """Measure, print, and write the page's part."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults load",
        description="Many sites enrol with a coordinator, and fetch a release from it, at the same time.",
    )
    parser.add_argument(
        "--sites", type=int, default=200, help="that enrol first, and as many later (default: %(default)d)"
    )
    sites = parser.parse_args(words).sites
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: processes and folders go
    with tempfile.TemporaryDirectory(prefix="gaitkeeper-load-") as name:
        folder = Path(name)
        home = CoordinatorHome(folder / "coordinator")
        create_coordinator(home, "many", ("127.0.0.1",), ports=FREE_PORTS)
        first, second = (_prepare(folder, home, kind, sites) for kind in ("early", "late"))
        study = _signed_study(folder, home)
        with coordinator(home) as service:
            enrolled = _phase(folder, [Errand("enrol", site) for site in first])
            publish(home, 1, _model(study), study=study.study.name, study_hash=study.hash)
            deploy(home, 1)
            mixed = _phase(
                folder, [*(Errand("fetch", site) for site in first), *(Errand("enrol", site) for site in second)]
            )
            peak = memory_mib(service.pid, "VmHWM")
        active = sum(item.state == "active" for item in deployments(home))
        members = len(CoordinatorStore(home.store).enrolled_sites())
    text = _words(sites, {"all enrol": enrolled, "all fetch, as many others enrol": mixed}, peak)
    text += f"\n\nAfterwards {members} of {2 * sites} sites were members, and {active} of {sites} ran the release."
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    write_part("load", text)
    return int(members != 2 * sites or active != sites)


def _prepare(folder: Path, home: CoordinatorHome, kind: str, count: int) -> list[Path]:
    """Sites' folders, each with an invitation beside it."""
    made = []
    for number in range(count):
        name = f"{kind}-{number:03d}"
        new_site(folder / name, name)
        (folder / f"{name}.invitation").write_text(invite(home, name).to_text())
        made.append(folder / name)
    return made


def _signed_study(folder: Path, home: CoordinatorHome) -> SignedStudy:
    path = folder / "walks.toml"
    path.write_text(example_study("walks"))
    return sign_study(home, path)


def _model(study: SignedStudy) -> bytes:
    return ModelBundle.initial(ModelSpec.of(study.study, study.hash)).to_bytes()


def _phase(folder: Path, errands: Sequence[Errand]) -> list[Try]:
    """Every errand begins at once. The sites are threads of a few processes, which wait for one another at a file."""
    go = folder / "go"
    go.unlink(missing_ok=True)
    workers = []
    for number in range(WORKERS):
        share = [{"did": item.did, "site": str(item.site)} for item in errands[number::WORKERS]]
        workers.append(begin_worker("tests.faults.load_sites", {"go": str(go), "errands": share}))
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()  # it is ready
        go.touch()
        rows = [row for worker in workers for row in json.loads(worker.communicate(timeout=PHASE_S)[0])]
    finally:
        for worker in workers:
            worker.kill()
    return [Try(row["did"], row["seconds"], tuple(row["failures"]), row["done"]) for row in rows]


def _words(sites: int, phases: dict[str, list[Try]], peak: float) -> str:
    lines = [
        f"{sites} sites, commit {commit()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}; the coordinator's "
        f"service took {peak:.0f} MiB at its peak.",
        "",
        "| when | what | sites | p50 s | p99 s | slowest s | first tries that failed | never done |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for when, tries in phases.items():
        for did in sorted({item.did for item in tries}):
            mine = [item for item in tries if item.did == did]
            times = sorted(item.seconds for item in mine)
            codes = Counter(code for item in mine for code in item.failures[:1])
            failed = ", ".join(f"{count} {code}" for code, count in codes.most_common()) or "0"
            never = sum(not item.done for item in mine)
            quantiles = [times[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.99, 1.0)]
            cells = " | ".join(f"{value:.2f}" for value in quantiles)
            lines.append(f"| {when} | {did} | {len(mine)} | {cells} | {failed} | {never} |")
    return "\n".join(lines)
