"""The studies that are shipped as examples can be read, built and paid for."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from gaitkeeper_shared.demo.stage import Stage
from gaitkeeper_shared.demo.story import Demo, study_text
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.accounting import within
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import load_study, parse_study, study_hash

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_whole_and_affordable(path: Path) -> None:
    study, data = load_study(path)
    prices = plan(study)
    assert prices.train is not None
    assert within([prices.train] * study.training.rounds, prices.train_budget)
    assert prices.evaluate is not None
    assert within([prices.evaluate] * prices.evaluations, prices.evaluate_budget)
    spec = ModelSpec.of(study, study_hash(data))
    assert ModelBundle.from_bytes(ModelBundle.initial(spec).to_bytes()).spec == spec


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("patients", [2, 8, 300])
def test_the_study_of_the_demo_is_allowed(patients: int, tmp_path: Path) -> None:
    demo = Demo(Stage(tmp_path, Console()), tmp_path, patients, 3, None)
    study = parse_study(study_text(demo).encode())
    assert study.privacy.delta * patients < 0.51
    assert study.evaluation.epsilon <= study.privacy.epsilon
