"""The client's part of a rehearsal: a cohort's recordings as people, and the ClientApp over them.

The simulation engine runs sites in processes of its own. They find the people's windows and keep their ledgers in a
private folder that the rehearsal makes and removes; ledger, noise and training are the deployment's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaitkeeper_client.training.dataset import Person, SiteDataset
from gaitkeeper_shared.arrays import Float32Array
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.models.windows import windows_of_person
from gaitkeeper_shared.privacy.accounting import Budget
from gaitkeeper_shared.recording import Signals
from gaitkeeper_shared.rehearsal import (
    ROLL_KEY,
    ROLL_RECORD,
    RehearsalCohort,
    RehearsalPerson,
    RehearsalPlan,
    SiteTrainer,
)
from gaitkeeper_shared.study import Study, parse_study, study_hash

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

    from gaitkeeper_client.vault.cohort import CohortRow
    from gaitkeeper_client.vault.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Walk:
    """What became of one recording: its signals, or why it cannot be used."""

    signals: Signals | None
    refusal: str


class ClientProvider:
    """Fulfils :class:`gaitkeeper_shared.rehearsal.RehearsalProvider`."""

    def load(self, cohort: Path, study: Study, on_progress: Callable[[int, int], None]) -> RehearsalCohort:
        """Analyse every recording of the people whose label the study uses, on all processors."""
        from gaitkeeper_client.vault.cohort import read_cohort

        rows = read_cohort(cohort)
        willing = [row for row in rows if row.consent is None or "training" in row.consent.given]
        used = [row for row in willing if row.label is not None and study.task.class_of(row.label) is not None]
        left_out = [f"{row.patient}: the study has no label {row.label!r}" for row in willing if row not in used]
        left_out += [f"{row.patient}: no consent to training" for row in rows if row not in willing]
        walks: dict[str, list[tuple[CohortRow, _Walk]]] = {}
        for done, (row, walk) in enumerate(zip(used, _analysed(used), strict=True), start=1):
            walks.setdefault(row.patient, []).append((row, walk))
            on_progress(done, len(used))
        people = []
        for patient in sorted(walks):
            left_out += [f"{patient}: {row.path.name}: {walk.refusal}" for row, walk in walks[patient] if walk.refusal]
            person = _person(patient, walks[patient], study)
            if person is None:
                left_out.append(f"{patient}: no recording is long enough for a window")
            else:
                people.append(person)
        return RehearsalCohort(tuple(people), tuple(left_out))

    def client_app(self, plan: RehearsalPlan, folder: Path) -> ClientApp:
        """Write the plan into ``folder`` and make the ClientApp that reads it."""
        from gaitkeeper_client.training.app import make_client_app

        _write_plan(plan, folder)
        client = make_client_app(partial(_runtime, folder))
        client.query()(partial(_answer_roll_call, folder))
        return client

    def trainer(self, study: bytes, people: Sequence[RehearsalPerson]) -> SiteTrainer:
        """A site's private steps, round after round, as ``site_round`` takes them once a round is charged."""
        return _Trainer(study, people)


class _Trainer:
    """Fulfils :class:`gaitkeeper_shared.rehearsal.SiteTrainer`."""

    def __init__(self, study: bytes, people: Sequence[RehearsalPerson]) -> None:
        from gaitkeeper_shared.models.registry import best_device, build
        from gaitkeeper_shared.models.spec import ModelSpec
        from gaitkeeper_shared.privacy.plan import plan

        parsed = parse_study(study)
        self._people = tuple(Person(p.person, p.class_index, p.windows) for p in people)
        self._study, self._prices, self._round = parsed, plan(parsed), 0
        self._model = build(ModelSpec.of(parsed, study_hash(study))).to(best_device())
        self._momentum: Mapping[str, Float32Array] = {}

    def __call__(self, weights: Weights) -> Weights:
        """What the site's private steps make of ``weights`` in the next round."""
        import torch

        from gaitkeeper_client.training.site_round import private_steps
        from gaitkeeper_shared.models.bundle import weights_of

        self._round += 1
        self._model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self._momentum = private_steps(
            self._model, self._study, self._prices, self._people, self._round, self._momentum
        )
        return weights_of(self._model)


def _analysed(rows: list[CohortRow]) -> Iterator[_Walk]:
    workers = min(os.cpu_count() or 1, len(rows))
    if workers <= 1:
        yield from map(_analyse, rows)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_analyse, rows)


def _analyse(row: CohortRow) -> _Walk:
    from gaitkeeper_client.sources import analyse_file

    try:
        analysis = analyse_file(row.path, height_m=row.height_m, options=row.options)
    except GaitkeeperError as error:
        return _Walk(None, error.message)
    if analysis.recording is None or analysis.status != "analysed":
        return _Walk(None, "; ".join(reason.message for reason in analysis.reasons) or "refused")
    return _Walk(analysis.recording.signals, "")


def _person(patient: str, walks: list[tuple[CohortRow, _Walk]], study: Study) -> RehearsalPerson | None:
    first = walks[0][0]
    assert first.label is not None
    index = study.task.class_of(first.label)
    windows = windows_of_person((walk.signals for _, walk in walks if walk.signals is not None), study.input)
    if index is None or windows.shape[0] == 0:
        return None
    return RehearsalPerson(patient, first.extra.get("site", ""), index, windows)


# -- what the simulation's processes read


def _write_plan(plan: RehearsalPlan, folder: Path) -> None:
    from safetensors.numpy import save_file

    table = {
        "sites": {site: [[p.person, p.class_index] for p in people] for site, people in plan.sites.items()},
        "runs": {run.name: sorted(run.people) for run in plan.runs},
    }
    (folder / "plan.json").write_text(json.dumps(table), "utf-8")
    for run in plan.runs:
        (folder / f"{study_hash(run.study)}.toml").write_bytes(run.study)
    for number, people in enumerate(plan.sites.values()):
        arrays = {str(index): np.ascontiguousarray(person.windows) for index, person in enumerate(people)}
        save_file(arrays, folder / f"site-{number}.safetensors")


@dataclass(frozen=True, slots=True)
class _Plan:
    sites: tuple[str, ...]
    people: dict[str, list[tuple[str, int]]]
    runs: dict[str, frozenset[str]]


@lru_cache(maxsize=2)
def _plan(folder: Path) -> _Plan:
    table = json.loads((folder / "plan.json").read_text("utf-8"))
    people = {site: [(str(name), int(index)) for name, index in rows] for site, rows in table["sites"].items()}
    return _Plan(tuple(people), people, {run: frozenset(names) for run, names in table["runs"].items()})


@lru_cache(maxsize=64)
def _people(folder: Path, site: str) -> tuple[Person, ...]:
    from safetensors.numpy import load_file

    plan = _plan(folder)
    arrays = load_file(folder / f"site-{plan.sites.index(site)}.safetensors")
    return tuple(Person(name, label, arrays[str(index)]) for index, (name, label) in enumerate(plan.people[site]))


def _site_of(folder: Path, context: Context) -> str:
    return _plan(folder).sites[int(context.node_config["partition-id"])]


def _answer_roll_call(folder: Path, message: Message, context: Context) -> Message:
    from flwr.app import ConfigRecord, Message, RecordDict

    reply = RecordDict({ROLL_RECORD: ConfigRecord({ROLL_KEY: _site_of(folder, context)})})
    return Message(reply, reply_to=message)


def _runtime(folder: Path, context: Context, run: str) -> RehearsalRuntime:
    return RehearsalRuntime(folder, _site_of(folder, context), run)


class RehearsalRuntime:
    """A site of a rehearsal, for one run. Its studies need no approval, and one without privacy is allowed."""

    allows_no_privacy = True
    cap: Budget | None = None

    def __init__(self, folder: Path, site: str, run: str) -> None:
        self.folder, self.site, self._run = folder, site, run

    @property
    def ledger(self) -> Ledger:
        """This site's ledger of this run, opened anew: the next message may go to another process."""
        return _ledger(self.folder, self.site, self._run)

    def approved_study(self, study_hash: str) -> Study:
        """One of the plan's studies."""
        if not study_hash.isalnum():
            raise GaitkeeperError("study-not-found", path=study_hash[:64])
        return _study(self.folder / f"{study_hash}.toml")

    def dataset(self, study_hash: str, study: Study, run: str) -> SiteDataset:
        """The site's people who are trained on in this run; the others judge the model at the coordinator."""
        del study_hash, study
        trained = _plan(self.folder).runs.get(run, frozenset())
        return SiteDataset(tuple(p for p in _people(self.folder, self.site) if p.pseudonym in trained), ())

    def still_holds(self, people: Collection[str]) -> bool:
        """Nobody is erased from a rehearsal."""
        del people
        return True


@lru_cache(maxsize=64)
def _study(path: Path) -> Study:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitkeeperError("study-not-found", path=path.name) from error
    return parse_study(data)


def _ledger(folder: Path, site: str, run: str) -> Ledger:
    from gaitkeeper_client.vault.ledger import Ledger

    place = folder / f"ledger-{_plan(folder).sites.index(site)}-{run}"
    place.mkdir(mode=0o700, exist_ok=True)
    return Ledger(place / "ledger.sqlite")


provider = ClientProvider()
"""What the entry point names."""
