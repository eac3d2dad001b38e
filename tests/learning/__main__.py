"""Measure everything and write the page."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.learning.heads import People
from tests.learning.nested import nested
from tests.learning.ways import FOLDS, SEEDS, SITES, Way, measured, ways, without_calibration
from tests.measured import commit

from gaitkeeper_client.training.rehearsal import provider
from gaitkeeper_client.vault.cohort import read_cohort
from gaitkeeper_server.pretraining.start import first_weights
from gaitkeeper_server.pretraining.train import PretrainOptions, pretrain
from gaitkeeper_server.rounds.rehearsal_score import Score, Scores
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.rehearsal import RehearsalPerson
from gaitkeeper_shared.study import Input, Study, load_study, parse_study, study_hash

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GAITKEEPER_DATA", ROOT.parent / "shared/data"))
STUDIES = (
    ("gaitndd-binary", "gaitndd"),
    ("gaitndd-4class", "gaitndd"),
    ("clinic-bvh", "clinic-bvh"),
    ("clinic-bvh-pretrained", "clinic-bvh"),
)
_loaded: dict[tuple[str, Input], tuple[RehearsalPerson, ...]] = {}
SCRIPTS = {"gaitndd": "gaitndd_cohort.py", "clinic-bvh": "clinic_bvh_cohort.py"}


def main(wanted: Sequence[str]) -> None:
    """All studies, or those that are named; the others' parts of the page stay. It is written after each study."""
    page = ROOT / "docs/learning.md"
    parts = _parts(page)
    for name, folder in STUDIES:
        if (not wanted or name in wanted) and (DATA / folder).is_dir():
            parts[name] = _study(name, folder)
            ordered = [_head(), *(parts[known] for known, _ in STUDIES if known in parts)]
            write_durably(page, "\n".join(ordered).encode("utf-8"))
            sys.stderr.write(f"{name}\n")
    sys.stdout.write("docs/learning.md\n")


def _parts(page: Path) -> dict[str, str]:
    """The studies' parts of a page that is there, by name."""
    if not page.exists():
        return {}
    sections = page.read_text("utf-8").split("\n## ")[1:]
    return {section.split("\n", 1)[0]: "## " + section.rstrip("\n") + "\n" for section in sections}


def _study(name: str, folder: str) -> str:
    study, data = load_study(ROOT / "examples" / f"{name}.toml")
    spec = ModelSpec.of(study, study_hash(data))
    start = pretrain(spec, PretrainOptions()).bundle if study.model.start == "synthetic" else None
    bundle = ModelBundle(spec, first_weights(spec, start))
    persons = _people(study, folder)
    people = People.of(persons, bundle)
    rows = [_row(way.name, measured(data, people, bundle, way)) for way in ways()]
    counts = [sum(person.class_index == index for person in persons) for index in range(len(study.task.labels))]
    who = ", ".join(f"{count} {label}" for count, label in zip(counts, study.task.labels, strict=True))
    private = Way("nested: settings chosen without whom they judge", "random", study.privacy.epsilon, "distributed")
    alone = nested(data, people, bundle, private)
    rows.append(_row(f"**{private.name}** (epsilon {private.epsilon:g}, distributed)", alone))
    columns = ("way of learning", "balanced accuracy", "95 %", "AUC", "95 %", "sd over seeds")
    head = f"## {name}\n\n{len(persons)} people ({who}); chance is {1 / len(counts):.2f}. Measured at {_commit()}.\n\n"
    return head + _table(columns, rows) + "\n" + _calibration(data, people, bundle)


def _calibration(data: bytes, people: People, start: ModelBundle) -> str:
    """Whether probabilities can be believed, with the study's calibration and with its rounds all spent on training."""
    way = Way("", "random", parse_study(data).privacy.epsilon, "distributed")
    columns = ("probabilities", "error", "log loss", "certain of", "right about these", "balanced accuracy")
    rows = []
    for words, study in (("as the study says", data), ("without calibration", without_calibration(data))):
        scores = measured(study, people, start, way)
        told = scores.calibration
        sure = "-" if told.certain_accuracy is None else f"{told.certain_accuracy:.0%}"
        numbers = (f"{told.expected_error:.3f}", f"{told.log_loss:.3f}", f"{told.certain:.0%}", sure)
        rows.append([words, *numbers, f"{scores.balanced_accuracy.value:.3f}"])
        if study == without_calibration(study):
            break
    return _table(columns, rows)


def _people(study: Study, folder: str) -> list[RehearsalPerson]:
    """The people of a study; recordings that two studies see in the same windows are read once."""
    with tempfile.TemporaryDirectory() as place:
        cohort = Path(place) / "cohort.csv"
        runpy.run_path(str(ROOT / "examples" / SCRIPTS[folder]))["main"](DATA / folder, cohort)
        labels = {row.patient: row.label for row in read_cohort(cohort)}
        if (folder, study.input) not in _loaded:
            _loaded[folder, study.input] = provider.load(cohort, study, lambda *_: None).people
    people = []
    for person in _loaded[folder, study.input]:
        index = study.task.class_of(labels[person.person] or "")
        if index is not None:
            people.append(replace(person, class_index=index))
    return people


def _head() -> str:
    return (ROOT / "tests/learning/head.md").read_text("utf-8").format(seeds=SEEDS, folds=FOLDS, sites=SITES)


def _commit() -> str:
    return f"commit {commit('client/gaitkeeper_client/training', 'shared', 'examples', 'tests/learning')}"


def _row(name: str, scores: Scores) -> list[str]:
    accuracy, area = scores.balanced_accuracy, scores.auc
    spread = f"{scores.sd_over_seeds:.3f}"
    return [name, f"{accuracy.value:.3f}", _range(accuracy), f"{area.value:.3f}", _range(area), spread]


def _range(item: Score) -> str:
    return f"{item.low:.2f} to {item.high:.2f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    main(sys.argv[1:])
