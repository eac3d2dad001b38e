"""Published norms: plausible shapes, the right people, and sentences only where a walk leaves them."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaitkeeper_client.gait.analysis import Parameter
from gaitkeeper_client.insight.charts.curves import SideCurve
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.departures import Departure
from gaitkeeper_client.insight.deviations import deviations
from gaitkeeper_client.insight.norms import chosen_norm, norm_curve, norm_range, speed_band
from gaitkeeper_client.insight.parameter_view import parameters_view
from gaitkeeper_client.insight.reference import reference_cycle
from gaitkeeper_client.insight.wording import ANGLES, PARAMETERS, number
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.models.channels import CHANNELS

BANDS = ("very_slow", "slow", "free")


@pytest.mark.parametrize("band", BANDS)
def test_norm_curves_have_the_shape_of_walking(band: str) -> None:
    hip, knee, ankle = (norm_curve(angle, band) for angle in ANGLES)
    assert knee is not None
    assert hip is not None
    assert ankle is not None
    for curve in (knee, hip, ankle):
        assert curve.mean.shape == curve.sd.shape == (101,)
        assert curve.mean[0] == curve.mean[100]
        assert np.all((curve.sd > 3) & (curve.sd < 15))
    assert 68 <= np.argmax(knee.mean) <= 78
    assert 40 <= knee.mean.max() <= 62
    assert 48 <= np.argmin(hip.mean) <= 60
    assert 58 <= 50 + np.argmin(ankle.mean[50:80]) <= 72


def test_slower_walkers_bend_the_knee_less() -> None:
    peaks = [curve.mean.max() for band in BANDS if (curve := norm_curve("knee_flexion", band)) is not None]
    assert peaks == sorted(peaks)
    assert len(peaks) == 3


@pytest.mark.parametrize(
    ("speed", "band"),
    [(0.1, "very_slow"), (0.3, "slow"), (0.45, "free"), (0.9, "free"), (None, "free"), (math.nan, "free")],
)
def test_the_band_follows_the_speed(speed: float | None, band: str) -> None:
    assert speed_band(speed) == band


def test_ranges_narrow_with_what_is_known() -> None:
    everyone, woman = norm_range("cadence"), norm_range("cadence", sex="female", age=70)
    assert everyone is not None
    assert woman is not None
    assert (everyone.low, everyone.high, everyone.who) == (81, 138, "adults 18 to 80")
    assert (woman.low, woman.high, woman.who) == (96, 136, "women 65 to 80")
    assert norm_range("cadence", age=9) is None
    assert norm_range("hat_size") is None
    symmetry = norm_range("symmetry_index")
    assert symmetry is not None
    assert symmetry.low is None


@pytest.mark.parametrize(
    ("who", "ranges", "said"),
    [
        ({}, True, "The age was not given"),
        ({"sex": "male"}, True, "18 to 80, men"),
        ({"age": 9.0, "sex": "f"}, False, "of adults, and the walker is 9"),
        ({"age": 2.5}, False, "begins at 4 years"),
        ({"age": 17.9}, False, "of adults"),
        ({"age": 18.0, "sex": "f"}, True, "this age and sex"),
        ({"age": 80.9, "sex": "x"}, True, "both sexes together"),
        ({"age": 85.0, "sex": "f"}, False, "end at 80"),
        ({"age": 40.0, "sex": "f", "aid": "two crutches"}, False, "Walked with two crutches"),
    ],
)
def test_one_norm_is_chosen_and_said(who: dict[str, Any], ranges: bool, said: str) -> None:
    """No adult's range stands beside a child, nor beside somebody who leans on something."""
    choice = chosen_norm(**who)
    assert choice.ranges is ranges
    assert said in choice.why
    assert (norm_range("walking_speed", **who) is not None) is ranges
    table = parameters_view(
        {"cadence": Parameter("steps/min", 110.0)}, PatientContext("P", who.get("age")), who.get("aid", "")
    )
    assert (table.groups[0].rows[0].norm != "–") is ranges
    assert bool(table.norm_sources) is ranges


def test_a_figure_that_nobody_checked_is_printed_as_such() -> None:
    found = norm_range("walking_speed", sex="m", age=45)
    assert found is not None
    assert "not checked against the publication" in found.citation
    assert "Bohannon 1997" in found.citation
    checked = dataclasses.replace(found, checked="page 1", compared="")
    assert checked.citation.endswith("(checked: page 1)")


@given(st.sampled_from(sorted(PARAMETERS)), st.sampled_from(["", "f", "m", "other"]), st.floats(0, 120))
def test_every_range_is_ordered_and_cited(parameter: str, sex: str, age: float) -> None:
    found = norm_range(parameter, sex=sex, age=age)
    if found is not None:
        assert found.source.text
        assert found.high is None or found.low is None or found.low < found.high


def side_curve(mean: FloatArray, sd: float = 1.0, n: int = 6) -> SideCurve:
    return SideCurve(mean, np.full(101, sd), n, 62.0)


def test_deviations_find_what_was_changed_and_nothing_else() -> None:
    norm = norm_curve("knee_flexion")
    assert norm is not None
    assert deviations("knee_flexion", "left", side_curve(norm.mean), norm) == ()
    changed = norm.mean.copy()
    changed[60:81] -= 30
    (found,) = deviations("knee_flexion", "left", side_curve(changed), norm)
    assert (found.from_percent, found.to_percent) == (60, 80)
    assert found.degrees == pytest.approx(-30)
    changed[60:81] = norm.mean[60:81]
    changed[10:13] -= 30
    assert deviations("knee_flexion", "left", side_curve(changed), norm) == ()


def test_a_whole_curve_beside_the_norm_is_told_as_an_offset_and_a_bend_is_not() -> None:
    norm = norm_curve("ankle_dorsiflexion")
    assert norm is not None
    bent = norm.mean.copy()
    bent[40:50] += 30
    for mean, degrees, offset in ((norm.mean - 20, -20.0, True), (bent, 30.0, False)):
        found = Departure(deviations("ankle_dorsiflexion", "right", side_curve(mean), norm)[0], "stance")
        assert found.deviation.degrees == pytest.approx(degrees)
        assert found.mostly_offset is offset
        assert ("20 degrees of that are an offset" in found.told) is offset
        assert found.told.startswith(found.sentence)


@pytest.mark.parametrize(("sd", "n"), [(20.0, 3), (1.0, 1)])
def test_a_departure_that_is_not_sure_is_not_stated(sd: float, n: int) -> None:
    norm = norm_curve("knee_flexion")
    assert norm is not None
    changed = norm.mean.copy()
    changed[60:81] -= 30
    assert deviations("knee_flexion", "left", side_curve(changed, sd, n), norm) == ()


def test_the_reference_walk_is_symmetric_complete_and_normal() -> None:
    cycle = reference_cycle()
    assert set(cycle) == {channel.name for channel in CHANNELS}
    assert all(np.isfinite(values).all() for values in cycle.values())
    assert np.array_equal(cycle["knee_flexion_left"], cycle["knee_flexion_right"])
    knee = cycle["knee_flexion_left"] * 25.0 + 25.0
    assert 50 < knee.max() < 72
    assert 0.62 < np.argmax(knee) / knee.size < 0.84


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.001, 2, "0.00"), (-1.5, 1, "−1.5"), (math.nan, 1, "–"), (None, 0, "–"), (97.31, 1, "97.3")],
)
def test_numbers_are_written_for_people(value: float | None, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_every_file_of_norms_names_the_source_and_the_licence_of_its_figures() -> None:
    ranges = tomllib.loads((resources.files("gaitkeeper_client.insight") / "norms.toml").read_text("utf-8"))
    used = {row["source"] for row in ranges["ranges"]}
    assert used <= set(ranges["sources"])
    for name, source in ranges["sources"].items():
        assert source["text"], name
        assert source["licence"], name
    curves = tomllib.loads((resources.files("gaitkeeper_client.gait") / "norm_curves.toml").read_text("utf-8"))[
        "curves"
    ]
    assert curves["source"]
    assert curves["licence"]
