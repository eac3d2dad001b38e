"""Force plates under a walker whose steps are known: which contacts count, and when they are."""

from __future__ import annotations

import dataclasses
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from lab_fixtures import write_trc

from gaitkeeper_client.lab.walk import ForcePlate
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.plates import plate_reference
from gaitkeeper_client.validation.validate import validate_file
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.kinematics import joint
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.truth import StrideTruth, walk_truth
from gaitkeeper_shared.simulation.walker import Walk

RATE = 1000.0
DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).parents[3] / "shared" / "data"))


@cache
def walked() -> tuple[JointTrajectories, StrideTruth]:
    """A walk and a left stance amid it."""
    truth = walk_truth(Walk(draw_patient("p", "healthy", 3), 5.0))
    left = [stride for stride in truth.strides if stride.side == "left"]
    return truth.trajectories, left[len(left) // 2]


def feet(walk: JointTrajectories, stride: StrideTruth) -> FloatArray:
    """(2, 2) horizontal places of the left heel and toe amid the stance."""
    at = int(np.searchsorted(walk.time_s, 0.5 * (stride.strike_s + stride.foot_off_s)))
    return np.stack([joint(walk.positions, f"left_{part}")[at, :2] for part in ("heel", "toe")])


def plate(
    *, rim: tuple[float, float, float, float] = (0.08, 0.08, 0.08, 0.08), offset_n: float = 0.0, noise_n: float = 0.0
) -> ForcePlate:
    """A plate round the left stance; ``rim``: metres behind the heel, before the toe, to the right and to the left."""
    walk, stride = walked()
    time_s = np.arange(0.0, walk.time_s[-1], 1.0 / RATE)
    phase = (time_s - stride.strike_s) / (stride.foot_off_s - stride.strike_s)
    load = np.where((phase > 0) & (phase < 1), 700.0 * np.minimum(1.0, 20.0 * np.minimum(phase, 1 - phase)), 0.0)
    drift = noise_n * np.sin(2.0 * np.pi * 0.3 * time_s)
    force = np.stack([np.zeros_like(load), np.zeros_like(load), load + offset_n + drift], axis=1)
    heel, toe = feet(walk, stride)
    centre = np.stack([np.full_like(load, 0.5 * (heel[k] + toe[k])) for k in (0, 1)] + [np.zeros_like(load)], axis=1)
    low_x, high_x = heel[0] - rim[0], toe[0] + rim[1]
    low_y, high_y = min(heel[1], toe[1]) - rim[2], max(heel[1], toe[1]) + rim[3]
    corners = np.array([[low_x, low_y, 0], [high_x, low_y, 0], [high_x, high_y, 0], [low_x, high_y, 0]])
    return ForcePlate(time_s, force, centre, corners)


@pytest.mark.parametrize("offset_n", [0.0, -15.0, 12.0])
def test_one_foot_on_the_plate(offset_n: float) -> None:
    walk, stride = walked()
    reference = plate_reference([plate(offset_n=offset_n)], walk)
    found = {(event.side, event.type): event.time_s for event in reference.events}
    # 20 of 700 N are reached 0.14 % of the stance after the foot came down.
    assert found == {
        ("left", "foot_strike"): pytest.approx(stride.strike_s, abs=0.002),
        ("left", "foot_off"): pytest.approx(stride.foot_off_s, abs=0.002),
    }


def test_a_heel_beside_the_plate_costs_the_strike_and_a_toe_the_off() -> None:
    walk, _ = walked()
    behind = plate_reference([plate(rim=(-0.03, 0.08, 0.08, 0.08))], walk)
    before = plate_reference([plate(rim=(0.08, -0.03, 0.08, 0.08))], walk)
    assert [event.type for event in behind.events] == ["foot_off"]
    assert [event.type for event in before.events] == ["foot_strike"]


def test_two_feet_on_a_plate_count_for_nothing() -> None:
    walk, _ = walked()
    assert plate_reference([plate(rim=(1.0, 1.0, 0.5, 0.5))], walk).events == ()


def test_a_plate_that_both_feet_tread_on_shows_the_first_to_come_and_the_last_to_go() -> None:
    """Short steps: the second foot comes down on the plate before the first has left it."""
    walk, stride = walked()
    after = next(
        one
        for one in walk_truth(Walk(draw_patient("p", "healthy", 3), 5.0)).strides
        if one.side == "right" and stride.strike_s < one.strike_s < stride.foot_off_s
    )
    one = plate(rim=(0.08, 1.0, 0.3, 0.3))
    load, centre = np.zeros(one.time_s.size), np.zeros((one.time_s.size, 3))
    for step in (stride, after):
        phase = (one.time_s - step.strike_s) / (step.foot_off_s - step.strike_s)
        own = np.where((phase > 0) & (phase < 1), 700.0 * np.minimum(1.0, 20.0 * np.minimum(phase, 1 - phase)), 0.0)
        amid = int(np.searchsorted(walk.time_s, 0.5 * (step.strike_s + step.foot_off_s)))
        foot = 0.5 * sum(joint(walk.positions, f"{step.side}_{part}")[amid] for part in ("heel", "toe"))
        load, centre = load + own, centre + own[:, None] * foot
    centre = centre / np.maximum(load, 1.0)[:, None]
    force = np.stack([np.zeros_like(load), np.zeros_like(load), load], axis=1)
    shared = dataclasses.replace(one, force=force, pressure_centre=centre)
    found = {(event.side, event.type): event.time_s for event in plate_reference([shared], walk).events}
    assert found == {
        ("left", "foot_strike"): pytest.approx(stride.strike_s, abs=0.002),
        ("right", "foot_off"): pytest.approx(after.foot_off_s, abs=0.002),
    }


def test_plates_that_show_no_whole_foot_say_what_they_showed() -> None:
    walk, _ = walked()
    (note,) = plate_reference([plate(rim=(-0.03, -0.03, 0.08, 0.08))], walk).notes
    assert note.startswith("Its force plates were loaded 1 time(s), and never by one whole foot alone")
    assert "heel or toe" in note


def test_one_foot_on_two_plates_counts_for_nothing() -> None:
    walk, _ = walked()
    assert plate_reference([plate(), plate()], walk).events == ()


def test_a_drifting_plate_is_left_out() -> None:
    walk, _ = walked()
    reference = plate_reference([plate(noise_n=35.0)], walk)
    assert reference.events == ()
    assert reference.notes[0].startswith("Force plate 1 was left out")


def test_a_centre_of_pressure_far_from_both_feet_names_no_side() -> None:
    walk, _ = walked()
    far = plate()
    moved = dataclasses.replace(far, pressure_centre=far.pressure_centre + np.array([0.0, 3.0, 0.0]))
    assert plate_reference([moved], walk).events == ()


def test_a_recording_that_begins_on_the_plate_has_no_strike() -> None:
    walk, stride = walked()
    late = stride.strike_s + 0.1
    keep = walk.time_s >= late
    cut = JointTrajectories(walk.time_s[keep] - late, walk.positions[keep], walk.unit, walk.confidence[keep])
    whole = plate()
    inside = whole.time_s >= late
    begun = ForcePlate(whole.time_s[inside] - late, whole.force[inside], whole.pressure_centre[inside], whole.corners)
    assert [event.type for event in plate_reference([begun], cut).events] == ["foot_off"]


def write_forces(path: Path, one: ForcePlate) -> Path:
    """The plate as a program of Motion Analysis writes it beside a TRC in millimetres: y upwards, z to the right."""
    turned = [np.stack([part[:, 0], part[:, 2], -part[:, 1]], axis=1) for part in (one.force, one.pressure_centre)]
    rows = np.concatenate([turned[0], 1000.0 * turned[1], np.zeros((one.time_s.size, 1))], axis=1)
    head = ["[Force Data]", "NumberOfForcePlates=1", f"SampleRate={RATE:.6f}", f"NumberOfSamples={len(rows)}"]
    head.append("#Sample\tFX1\tFY1\tFZ1\tX1\tY1\tZ1\tMZ1")
    lines = ["\t".join([str(number), *(f"{cell:.2f}" for cell in row)]) for number, row in enumerate(rows, start=1)]
    path.write_text("\n".join([*head, *lines]) + "\n")
    return path


def test_a_force_table_beside_a_trc_is_its_reference(tmp_path: Path) -> None:
    walk, _ = walked()
    markers = write_trc(tmp_path / "walk.trc", walk)
    forces = write_forces(tmp_path / "walk.forces", plate())
    done = validate_file(markers, forces)
    assert (done.reference, done.events["foot_strike"].n, done.events["foot_off"].n) == ("force plates", 1, 1)
    assert abs(done.events["foot_strike"].errors_ms[0]) < 40.0

    lines = forces.read_text().splitlines()
    shorter = tmp_path / "shorter.forces"
    shorter.write_text("\n".join([*lines[:3], "NumberOfSamples=2000", *lines[4:2005]]))
    with pytest.raises(GaitkeeperError) as error:
        validate_file(markers, shorter)
    assert error.value.code == "validation-no-reference"
    assert "its forces last 2.00 s" in error.value.message
    for text in ("[Force Data]\n", "\n".join(lines[:2005]), "\n".join([*lines[:-1], lines[-1][:-8]])):
        shorter.write_text(text)
        with pytest.raises(GaitkeeperError) as error:
            validate_file(markers, shorter)
        assert error.value.code == "lab-file-broken"


def test_a_force_table_alone_is_told_as_one_that_belongs_to_markers(tmp_path: Path) -> None:
    forces = write_forces(tmp_path / "walk.forces", plate())
    with pytest.raises(GaitkeeperError) as error:
        analyse_file(forces)
    assert (error.value.code, error.value.exit_status) == ("source-plates-alone", 2)
    assert f"validate MARKERS.trc --reference {forces}" in error.value.remedy  # no file is named that is not there
    (tmp_path / "walk.trc").write_text("PathFileType", "utf-8")
    with pytest.raises(GaitkeeperError) as error:
        analyse_file(forces)
    assert f"validate {tmp_path / 'walk.trc'} --reference {forces}" in error.value.remedy


@pytest.mark.parametrize(("name", "strikes", "offs"), [("walk1", 4, 3), ("walk2", 2, 2)])
def test_force_tables_of_a_laboratory_agree_with_its_markers(name: str, strikes: int, offs: int) -> None:
    if not (DATA / "bmclab").is_dir():
        pytest.skip(f"{DATA} is not there")
    done = validate_file(DATA / f"bmclab/{name}.trc", DATA / f"bmclab/{name}.forces")
    for kind, count in (("foot_strike", strikes), ("foot_off", offs)):
        row = done.events[kind].to_json()
        assert (row["n"], row["found"], row["false"]) == (count, count, 0)
