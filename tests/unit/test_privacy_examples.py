"""The studies that are shipped as examples can be read, built and paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.accounting import within
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import load_study, study_hash

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
