"""Foot-force series and stride times through the door: temporal parameters, and every other one refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from gaitkeeper_client.gait.forces import TEMPORAL, analyse_forces
from gaitkeeper_client.insight.view import PatientContext, report_view
from gaitkeeper_client.lab.contacts import load_share
from gaitkeeper_client.lab.footforce import FORCE_CHANNELS, FootForces
from gaitkeeper_client.lab.options import ReadOptions
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_shared.arrays import FloatArray

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data"))
RATE = 300.0


def series(seconds: float = 40.0, stride_s: float = 1.1, stance: float = 0.62, rate: float = RATE) -> FootForces:
    """Somebody who walks evenly: 0 in swing, 1 in stance with ramps of 40 ms; right half a stride after left."""
    time_s = np.arange(0.0, seconds, 1.0 / rate)
    columns = []
    for shift in (0.0, 0.5):
        phase = (time_s / stride_s + shift) % 1.0
        rise, fall = phase * stride_s / 0.04, (stance - phase) * stride_s / 0.04
        columns.append(np.clip(np.minimum(rise, fall), 0.0, 1.0))
    return FootForces(time_s, np.stack(columns, axis=1), "raw")


def changed(forces: FootForces, force: FloatArray) -> FootForces:
    return FootForces(forces.time_s, force, forces.unit)


def test_an_even_walk_gives_its_own_numbers() -> None:
    analysis = analyse_forces(series(), source={"kind": "test"})
    found = analysis.parameters
    assert analysis.status == "analysed"
    assert found["cadence"].value == pytest.approx(120.0 / 1.1, rel=1e-3)
    assert found["stride_time"].value == pytest.approx(1.1, abs=1e-3)
    # The threshold of 15 % shortens the stance by 0.15 of the two ramps of 40 ms.
    assert found["stance_percent"].value == pytest.approx(62.0 - 100.0 * 2 * 0.15 * 0.04 / 1.1, abs=0.3)
    assert found["swing_percent"].value == pytest.approx(100.0 - (found["stance_percent"].value or 0.0), abs=1e-9)
    assert found["symmetry_index"].value == pytest.approx(0.0, abs=0.5)
    assert found["stride_time_cv"].value == pytest.approx(0.0, abs=0.2)
    for name, parameter in found.items():
        if name not in TEMPORAL:
            assert parameter.refused is not None, name
            assert parameter.refused.code == "positions-needed", name


def test_forces_without_newtons_have_wider_intervals_and_say_so() -> None:
    raw = series()
    newtons = FootForces(raw.time_s, 800.0 * raw.force, "N")
    loose, firm = (analyse_forces(one, source={}).parameters for one in (raw, newtons))
    for name in ("stance_percent", "double_support_percent", "step_time_left", "step_time_ratio"):
        (low, high), (least, most) = loose[name].ci95 or (0.0, 0.0), firm[name].ci95 or (0.0, 0.0)
        assert high - low > most - least + 0.02, name
        assert "uncalibrated-force" in {note.code for note in loose[name].notes}, name
    for name in ("cadence", "stride_time"):
        assert loose[name] == firm[name] or not loose[name].notes, name
    assert not [one for one in firm.values() if "uncalibrated-force" in {note.code for note in one.notes}]


@settings(max_examples=15, deadline=None)
@given(
    gain=st.floats(1e-3, 1e4),
    zero=st.floats(-1e4, 1e4),
    drift=st.floats(-0.6, 0.6),
    stride_s=st.floats(0.8, 1.8),
)
def test_zero_gain_and_drift_of_the_sensor_change_nothing(
    gain: float, zero: float, drift: float, stride_s: float
) -> None:
    forces = series(60.0, stride_s)
    slow = drift * np.sin(2 * np.pi * forces.time_s / 240.0)
    bent = changed(forces, zero + gain * (forces.force + slow[:, None]))
    plain, other = forces.events(), bent.events()
    assert [(e.side, e.type) for e in other] == [(e.side, e.type) for e in plain]
    assert max(abs(a.time_s - b.time_s) for a, b in zip(plain, other, strict=True)) < 0.012


def test_channels_are_even_and_between_the_levels() -> None:
    signals = series().signals()
    assert signals.names == FORCE_CHANNELS
    np.testing.assert_allclose(np.diff(signals.time_s), 0.01, atol=1e-9)
    assert np.percentile(signals.values, 5) == pytest.approx(0.0, abs=0.02)
    assert np.percentile(signals.values, 95) == pytest.approx(1.0, abs=0.02)


def test_a_sensor_that_dies_is_unknown_from_then_on() -> None:
    forces = series()
    force = forces.force.copy()
    force[6000:, 1] = -0.3
    share = load_share(forces.time_s, force[:, 1])
    assert np.isnan(share[6400:]).all()
    assert np.isfinite(share[:5500]).all()
    right = [e.time_s for e in changed(forces, force).events() if e.side == "right"]
    assert max(right) <= forces.time_s[6000]
    assert sum(e.side == "left" for e in changed(forces, force).events()) == 73


def test_short_gaps_are_filled_and_long_ones_are_no_steps() -> None:
    forces = series()
    force = forces.force.copy()
    force[3000:3020] = np.nan  # 67 ms
    force[6000:6600] = np.nan  # 2 s
    found = changed(forces, force)
    assert np.isfinite(found.loads()[3000:3020]).all()
    assert np.isnan(found.loads()[6010:6590]).all()
    assert not [e for e in found.events() if 20.02 < e.time_s < 21.98]
    assert analyse_forces(found, source={}).parameters["stride_time"].value == pytest.approx(1.1, abs=2e-3)


def test_a_turn_is_left_out_and_said() -> None:
    forces = series(100.0)
    force = np.insert(forces.force, 9000, np.repeat(forces.force[9000:9001], 150, axis=0), axis=0)
    longer = FootForces(np.arange(force.shape[0]) / RATE, force, "raw")
    analysis = analyse_forces(longer, source={})
    assert analysis.quality["strides_left_out"] >= 1
    assert analysis.parameters["stride_time_cv"].value == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize(("lost", "share", "cautions"), [(0.0, "100%", 0), (0.25, "75%", 1)])
def test_the_report_speaks_of_forces_and_not_of_a_person_in_view(lost: float, share: str, cautions: int) -> None:
    forces = series(100.0)
    force = forces.force.copy()
    force[: round(lost * len(force)), 1] = np.nan  # of one foot: what is known of the other tells no step
    view = report_view(analyse_forces(changed(forces, force), source={}), None, PatientContext("p"))
    shown = {fact.title: fact.text for fact in view.quality}
    assert f"the force under both feet known in {share} of it" in view.recording
    assert shown["Samples in which the force under both feet is known"] == share
    assert len([note for note in view.cautions if "The force under both feet is known" in note]) == cautions
    assert "track" not in " ".join((view.recording, *view.cautions, *shown))


@pytest.mark.parametrize("pause_s", [0.15, 0.3, 0.4])
def test_the_step_of_a_turn_is_no_step(pause_s: float) -> None:
    """Every sixteenth stride waits on the left foot for less than would show as a missed strike."""
    forces = series(100.0)
    at = [round((16.0 * number + 0.3) * 1.1 * RATE) for number in range(1, 6)]
    force = np.insert(forces.force, np.repeat(at, round(pause_s * RATE)), np.nan, axis=0)
    known = np.isfinite(force[:, 0])
    force = force[known][np.cumsum(known) - 1]  # the load of the moment before, held
    turning = analyse_forces(FootForces(np.arange(force.shape[0]) / RATE, force, "raw"), source={})
    even = analyse_forces(forces, source={})
    assert turning.quality["strides_left_out"] >= 9
    for name in ("step_time", "step_time_left", "step_time_right", "step_time_ratio"):
        assert turning.parameters[name].value == pytest.approx(even.parameters[name].value, abs=2e-3), name
    assert turning.parameters["step_time_cv"].value == pytest.approx(0.0, abs=0.5)
    assert turning.parameters["step_time"].n > 100
    strikes = [event for event in turning.events if event.type == "foot_strike"]
    assert len(strikes) >= 180, "the events of turns are still listed"


@pytest.mark.parametrize("force", [np.zeros((9000, 2)), np.full((9000, 2), np.nan), np.full((9000, 2), 5.0)])
def test_nothing_that_steps_is_no_walk(force: FloatArray) -> None:
    analysis = analyse_forces(FootForces(np.arange(9000) / RATE, force, "raw"), source={})
    assert (analysis.status, analysis.reasons[0].code) == ("refused", "not-walking")
    assert all(parameter.refused is not None for parameter in analysis.parameters.values())


def test_too_short_a_series_lists_its_events() -> None:
    analysis = analyse_forces(series(1.6), source={})
    assert (analysis.status, analysis.reasons[0].code) == ("refused", "too-few-cycles")
    assert analysis.events


def test_files_go_through_the_door(tmp_path: Path) -> None:
    path = tmp_path / "walk.mat"
    savemat(path, {"val": np.round(-1800 + 2000 * series().force.T).astype(np.int16)})
    analysis = analyse_file(path, options=ReadOptions(belt_m_s=1.2))
    assert (analysis.status, analysis.source["kind"]) == ("analysed", "gaitndd")
    assert analysis.recording is not None
    assert analysis.recording.signals.names == FORCE_CHANNELS
    assert len(analysis.recording.events) == len(analysis.events) > 100
    assert analysis.parameters["walking_speed"].value == 1.2
    assert analysis.parameters["stride_length"].value == pytest.approx(1.2 * 1.1, rel=1e-3)
    stride = " ".join(["{:.2f}", "1.1 1.2 .4 .5 36 41 .7 .71 64 59 .3 27"])
    path = tmp_path / "walk.ts"
    path.write_text("\n".join(stride.format(20.0 + 1.1 * n) for n in range(12)))
    times = analyse_file(path)
    assert times.parameters["stride_time"].value == pytest.approx(1.15)
    assert times.parameters["double_support_percent"].value == pytest.approx(100.0 * 0.3 / 1.15)
    assert (times.parameters["step_time"].refused or times.reasons[0]).code == "too-few-strides"


@pytest.mark.skipif(not (DATA / "gaitndd").is_dir(), reason=f"no foot forces in {DATA}")
def test_people_of_gaitndd_walk() -> None:
    for path in sorted((DATA / "gaitndd").glob("*.mat"))[4::30]:
        analysis = analyse_file(path)
        found = analysis.parameters
        assert 0.85 < (found["stride_time"].value or 0.0) < 1.8, path.name
        assert 55.0 < (found["stance_percent"].value or 0.0) < 75.0, path.name
        assert found["stride_time"].n > 250, path.name
