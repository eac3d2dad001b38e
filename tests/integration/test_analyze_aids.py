"""Videos with a walking frame or a wheelchair in view: the walker is measured, who sits is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.accuracy.aids import Clip, What, draw

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.pose import weights
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk

pytestmark = [
    pytest.mark.skipif(not weights.installed(), reason="the pose weights are missing: gaitkeeper models install"),
    pytest.mark.slow,
]


def analysed(folder: Path, what: What, number: int) -> tuple[Analysis, Walk | None]:
    path, walk, who = draw(Clip(what, "side", number), folder)
    return analyse_file(path, height_m=who.height_m), walk


@pytest.mark.parametrize(("what", "number"), [("hands", 1), ("feet", 0), ("feet", 4)])
def test_who_moves_in_a_wheelchair_does_not_walk(tmp_path: Path, what: What, number: int) -> None:
    analysis, _ = analysed(tmp_path, what, number)
    assert [why.code for why in analysis.reasons] == ["not-walking"]
    assert "wheelchair" in analysis.reasons[0].message
    assert all(parameter.value is None for parameter in analysis.parameters.values())


@pytest.mark.parametrize(("what", "number"), [("frame", 1), ("passing", 1), ("sitting", 3), ("pushed", 0)])
def test_the_walker_is_measured(tmp_path: Path, what: What, number: int) -> None:
    analysis, walk = analysed(tmp_path, what, number)
    assert walk is not None
    truth = walk_truth(walk).parameters
    assert analysis.status == "analysed"
    assert analysis.quality["camera"] != "moves", "what rolls by is taken for the room"
    assert analysis.quality["direction"] == "left-to-right"
    for name, within in (("cadence", 0.03), ("step_length", 0.05), ("walking_speed", 0.05)):
        assert analysis.parameters[name].value == pytest.approx(getattr(truth, name), rel=within), name
    for name in ("cadence", "step_length", "knee_range_left", "knee_range_right"):
        interval = analysis.parameters[name].ci95
        if interval is not None:
            assert interval[0] <= getattr(truth, name) <= interval[1], name
