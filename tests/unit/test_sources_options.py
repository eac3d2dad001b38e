"""What is said of a recording beside its file: checked at the door, and of use or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_fixtures import HEIGHT_PX, RATE_HZ, WIDTH_PX, WRITERS, walk, write_dlc, write_trc

from gaitkeeper_client.gait.belt import with_belt
from gaitkeeper_client.gait.perspective import Picture
from gaitkeeper_client.gait.squaring import picture_of
from gaitkeeper_client.lab.options import ReadOptions, check_aid, check_options, parse_size, read_mapping
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.vault.cohort import read_cohort
from gaitkeeper_client.vault.ingest import plan, source_digest
from gaitkeeper_client.vault.records import PatientFacts
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.simulation.camera import camera_for
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.truth import walk_truth
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINTS


def code_of(call) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(GaitkeeperError) as caught:
        call()
    assert caught.value.exit_status == 2
    return caught.value.code


@pytest.mark.parametrize("text", ["", "x", "1920", "1920x", "axb", "0x0", "-5x10", "10x10x10", "1920 1080", "1e9x5"])
def test_a_size_is_two_numbers(text: str) -> None:
    assert code_of(lambda: parse_size(text)) == "option-unusable"


def test_sizes_as_people_write_them() -> None:
    assert parse_size("1920x1080") == parse_size("1920X1080") == parse_size("1920×1080") == (1920.0, 1080.0)


@pytest.mark.parametrize(
    "given", [{"rate": 0.0}, {"rate": -30.0}, {"rate": float("nan")}, {"speed": 0.0}, {"speed": 90.0}, {"person": " "}]
)
def test_numbers_that_cannot_be_are_refused(given: dict[str, float]) -> None:
    assert code_of(lambda: check_options(**given)) == "option-unusable"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("left_hip = ", "mapping-unreadable"),
        ("\0", "mapping-unreadable"),
        ("", "mapping-wrong"),
        ("left_hip = 5", "mapping-wrong"),
        ("left_hip = []", "mapping-wrong"),
        ('left_hip = [""]', "mapping-wrong"),
        ('left_tail = "x"', "mapping-wrong"),
    ],
)
def test_a_mapping_is_names_for_our_joints(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    assert code_of(lambda: read_mapping(path)) == code
    assert code_of(lambda: read_mapping(tmp_path / "gone.toml")) == "mapping-unreadable"


def test_unknown_names_are_mapped_in_tables_and_in_markers(tmp_path: Path) -> None:
    truth = walk(5.0)
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('left_hip = "P_gauche"\nleft_knee = ["K1", "K2"]\n')
    options = check_options(rate=RATE_HZ, mapping=mapping)
    table = write_dlc(tmp_path / "walk.csv", truth)
    rows = table.read_text().splitlines()
    column = rows[1].split(",").index("left_knee")
    doubled = []
    for number, row in enumerate(rows):
        cells = row.split(",")
        extra = ["K2"] * 3 if number == 1 else cells[column : column + 3]
        doubled.append(",".join(cells + extra))
    table.write_text("\n".join(doubled).replace("left_hip", "P_gauche").replace("left_knee", "K1") + "\n")
    assert code_of(lambda: analyse_file(table, options=ReadOptions(rate_hz=RATE_HZ))) == "pose-points-unknown"
    assert analyse_file(table, options=options).status == "analysed"
    markers = write_trc(tmp_path / "walk.trc", truth)
    markers.write_text(markers.read_text().replace("LHJC", "Hip_links"))
    assert code_of(lambda: analyse_file(markers)) == "lab-points-missing"
    named = ReadOptions(mapping={"left_hip": ("Hip_links",), "right_hip": ("RHJC",)})
    assert analyse_file(markers, options=named).status == "analysed"
    unknown = ReadOptions(mapping={"left_hip": ("nowhere",)})
    assert code_of(lambda: analyse_file(markers, options=unknown)) == "pose-mapping-wrong"


def test_an_option_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    truth = walk(2.0)
    rate = ReadOptions(rate_hz=RATE_HZ)
    for name in ("c3d", "trc", "bvh", "motive-csv", "landmark-csv"):
        file, write = WRITERS[name]
        path = write(tmp_path / file, truth)
        assert code_of(lambda: analyse_file(path, options=rate)) == "option-does-not-apply", name  # noqa: B023
    table = WRITERS["deeplabcut"][1](tmp_path / "walk_dlc.csv", truth)
    assert code_of(lambda: analyse_file(table)) == "pose-rate-needed"


def test_the_person_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    truth = walk(5.0)
    several = WRITERS["deeplabcut-several"][1](tmp_path / "several.csv", truth)
    walks = analyse_file(several, options=ReadOptions(rate_hz=RATE_HZ))
    assert walks.status == "analysed"
    assert "number 2, who walks most" in walks.source["notes"][0]
    for person in ("anna", "2"):
        chosen = analyse_file(several, options=ReadOptions(rate_hz=RATE_HZ, person=person))
        assert chosen.parameters == walks.parameters
        assert chosen.source["notes"] == []
    stands = analyse_file(several, options=ReadOptions(rate_hz=RATE_HZ, person="other"))
    assert (stands.status, stands.reasons[0].code) == ("refused", "not-walking")
    for person in ("0", "3", "bob"):
        options = ReadOptions(rate_hz=RATE_HZ, person=person)
        assert code_of(lambda: analyse_file(several, options=options)) == "person-unknown"  # noqa: B023
    folder = WRITERS["openpose"][1](tmp_path / "openpose", truth)
    by_number = {
        number: analyse_file(folder, options=ReadOptions(rate_hz=RATE_HZ, person=number)).status for number in "12"
    }
    assert sorted(by_number.values()) == ["analysed", "refused"]


def test_the_picture_s_size_turns_shares_into_pixels(tmp_path: Path) -> None:
    path = WRITERS["landmark-csv"][1](tmp_path / "walk_landmarks.csv", walk(5.0))
    assert code_of(lambda: analyse_file(path)) == "pose-size-needed"
    assert analyse_file(path, options=ReadOptions(size_px=(WIDTH_PX, HEIGHT_PX))).status == "analysed"


def oblique_table(path: Path, walker: Walk) -> Path:
    """Pixels of a camera that stands obliquely, 30 a second, in a picture of 960x540."""
    camera = camera_for(walker.positions(np.linspace(0.0, 6.0, 50)), (960, 540), "oblique", "left_to_right")
    points, _ = camera.project(walker.positions(np.arange(180) / 30.0))
    head = ",".join(f"{name}_{axis}" for name in JOINTS for axis in "xy")
    rows = [",".join(f"{value:.3f}" for value in frame.ravel()) for frame in points]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_with_the_picture_s_size_an_oblique_walk_is_set_square(tmp_path: Path) -> None:
    walker = Walk(draw_patient("p", "healthy", 8), 6.0)
    path = oblique_table(tmp_path / "oblique.csv", walker)
    unknown = analyse_file(path, height_m=walker.patient.height_m, options=ReadOptions(rate_hz=30.0))
    why = unknown.parameters["step_length"].refused
    assert why is not None
    assert (why.code, "--size" in why.message) == ("view-unfit", True)
    options = ReadOptions(rate_hz=30.0, size_px=(960.0, 540.0))
    squared = analyse_file(path, height_m=walker.patient.height_m, options=options)
    assert picture_of(squared) == Picture(960, 540)
    truth = walk_truth(walker).parameters
    assert squared.parameters["step_length"].value == pytest.approx(truth.step_length, rel=0.06)
    assert "set-square" in [note.code for note in squared.parameters["step_length"].notes]
    wrong = ReadOptions(rate_hz=30.0, size_px=(480.0, 270.0))
    assert code_of(lambda: analyse_file(path, options=wrong)) == "option-unusable"


def test_a_belt_s_speed_is_used_where_the_way_cannot_be_seen(tmp_path: Path) -> None:
    truth = walk(6.0)
    hips = truth.positions[:, [7, 8], 0].mean(axis=1)
    speed = abs(float(hips[-1] - hips[0])) / float(truth.time_s[-1])
    over_ground = write_trc(tmp_path / "walk.trc", truth)
    travels = analyse_file(over_ground, options=ReadOptions(belt_m_s=0.7))
    assert travels.parameters["walking_speed"].value != 0.7
    assert "not used" in travels.source["notes"][-1]
    truth.positions[..., 0] -= (hips - hips[0])[:, None]
    on_belt = write_trc(tmp_path / "belt.trc", truth)
    alone, told = analyse_file(on_belt), analyse_file(on_belt, options=ReadOptions(belt_m_s=speed))
    refused = alone.parameters["walking_speed"].refused
    assert refused is not None
    assert refused.code == "constant-place"
    assert told.parameters["walking_speed"].value == speed
    stride = told.parameters["stride_time"].value or 0.0
    assert told.parameters["stride_length"].value == pytest.approx(speed * stride)
    assert told.parameters["cadence"] == alone.parameters["cadence"]
    for wrong in (3.6, 2.24, 1.25, 0.75):
        other = with_belt(alone, wrong * speed)
        for name in ("walking_speed", "stride_length", "dimensionless_speed"):
            contradicted = other.parameters[name].refused
            assert contradicted is not None, name
            assert contradicted.code == "belt-contradiction", name
            assert f"given as {wrong * speed:.2f} m/s" in contradicted.message
        assert {name for name, one in other.parameters.items() if one != alone.parameters[name]} <= {
            "walking_speed",
            "stride_length",
            "dimensionless_speed",
        }
        assert "not used" in other.source["notes"][-1]
    assert told.recording is not None
    assert told.recording.source == told.source


def cohort(folder: Path, columns: str, *rows: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text("\n".join([f"patient,path,label,age,sex,height_m,recorded_at,{columns}", *rows]) + "\n")
    return path


def test_a_cohort_says_of_each_file_what_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "op").mkdir()
    (tmp_path / "op" / "walk_000000000000_keypoints.json").write_text("{}")
    (tmp_path / "names.toml").write_text('left_hip = "L"\n')
    columns = "rate_hz,picture_size,mapping,person_in_file,belt_m_s,aid,static_trial"
    path = cohort(
        tmp_path,
        columns,
        'p1,a.csv,healthy,60,f,1.7,,"29,97",1920x1080,names.toml,mouse1,1.2,walker,still.c3d',
        "p2,a.csv,healthy,60,f,1.7,,30,,,mouse2,,,",
        "p3,op,healthy,60,f,1.7,,25,,,,,,",
    )
    first, second, third = read_cohort(path)
    said = ReadOptions(29.97, {"left_hip": ("L",)}, (1920.0, 1080.0), "mouse1", 1.2, aid="walker")
    assert first.options == replace(said, static=tmp_path / "still.c3d")
    assert first.facts.extra == {"aid": "walker"}
    assert (second.options, third.path) == (ReadOptions(rate_hz=30.0, person="mouse2"), tmp_path / "op")
    assert source_digest(first.path, "mouse1") != source_digest(second.path, "mouse2")


@pytest.mark.parametrize("cells", ["fast,,", "0,,", "30,1920,", "30,,gone.toml"])
def test_what_a_cohort_says_is_checked_with_its_line(tmp_path: Path, cells: str) -> None:
    (tmp_path / "a.csv").write_text("x")
    path = cohort(tmp_path, "rate_hz,picture_size,mapping", f"p1,a.csv,healthy,60,f,1.7,,{cells}")
    with pytest.raises(GaitkeeperError, match="line 2") as caught:
        read_cohort(path)
    assert caught.value.code == "cohort-bad-row"


def test_a_walking_aid_stays_with_the_walk(tmp_path: Path) -> None:
    """Into provenance and recording; whoever writes none has none."""
    assert [check_aid(text) for text in (None, "none", " No ", "0")] == [None] * 4
    assert check_aid("two  crutches\t(left, right)") == "two crutches (left, right)"
    for text in ("", "   ", "x" * 81, "a\u202eb"):
        assert code_of(lambda text=text: check_aid(text)) == "option-unusable"  # type: ignore[misc]
    trc = write_trc(tmp_path / "walk.trc", walk(4.0))
    analysis = analyse_file(trc, options=check_options(aid="walker"))
    assert analysis.recording is not None
    assert analysis.source["aid"] == analysis.recording.source["aid"] == "walker"
    (source,) = plan([trc], PatientFacts("p1"), None, check_options(aid="walker"))
    assert (source.options.aid, source.patient.extra) == ("walker", {"aid": "walker"})
