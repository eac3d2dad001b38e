"""The page of accuracy covers every file of the development data, and reads what beside them says what was right."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.accuracy.inventory import Rule, inventory
from tests.accuracy.rise import least_load_n, rise_of_table
from tests.accuracy.tables import DATA

RULES = (Rule("walk", "*.trc", ("forces/{stem}.mot",)), Rule("bvh", "*.bvh"))


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).touch()
    return path


def test_each_file_is_one_thing(tmp_path: Path) -> None:
    found = inventory(folder_of(tmp_path, "a.trc", "b.trc", "forces/a.mot", "LICENSE"), RULES, ("LICENSE",))
    assert [(one.kind, one.path.name, len(one.references)) for one in found.recordings] == [
        ("walk", "a.trc", 1),
        ("walk", "b.trc", 0),
    ]
    assert [path.name for path in found.references] == ["a.mot"]
    assert [path.name for path in found.others] == ["LICENSE"]
    assert found.by_kind["bvh"] == ()


@pytest.mark.parametrize("name", ["new.c3d", "forces/of_nobody.mot", "deeper/a.trc"])
def test_a_file_that_no_rule_names_stops_the_measurement(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        inventory(folder_of(tmp_path, "a.trc", name), RULES, ())


def test_a_file_that_two_rules_name_stops_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.trc"):
        inventory(folder_of(tmp_path, "a.trc"), RULES, ("a.*",))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}")
def test_the_development_data_are_covered() -> None:
    found = inventory(DATA)
    assert all(found.by_kind.values())


def test_the_least_load_of_a_force_file(tmp_path: Path) -> None:
    plates = "FX1\tFY1\tFZ1\tX1\tY1\tZ1\tMZ1\tFX2\tFY2\tFZ2\tX2\tY2\tZ2\tMZ2"
    head = ["[Force Data]", "NumberOfForcePlates=2", "SampleRate=450.0", "NumberOfSamples=2", f"#Sample\t{plates}"]
    rows = ["\t".join(str(10 * sample + column) for column in range(14)) for sample in (0, 1)]
    text = "\n".join([*head, *(f"{number}\t{row}" for number, row in enumerate(rows, start=1))])
    (tmp_path / "walk.forces").write_text(text, "utf-8")
    assert least_load_n(tmp_path / "walk.forces") == 2.0  # the third of the first plate: that axis has the most


@pytest.mark.parametrize(("rise_s", "ms"), [(0.001, 2.0), (0.1, 22.0)])
def test_a_filtered_force_is_told_by_its_rise(tmp_path: Path, rise_s: float, ms: float) -> None:
    """100 N that are reached at once, or evenly in a tenth of a second."""
    lines = ["forces", "version=1", "nRows=1000", "nColumns=4", "inDegrees=no", "endheader"]
    lines.append("time\tground_force_1_vx\tground_force_1_vy\tground_force_1_vz")
    for sample in range(1000):
        time_s = 0.001 * sample
        force = 120.0 * min(1.0, max(0.0, (time_s - 0.5) / rise_s))
        lines.append(f"{time_s:.3f}\t0\t{force:.4f}\t0")
    (tmp_path / "forces.mot").write_text("\n".join(lines) + "\n", "utf-8")
    rise = rise_of_table(tmp_path, "forces.mot")
    assert rise is not None
    assert rise.rate_hz == pytest.approx(1000.0)
    assert rise.ms == pytest.approx(ms, abs=6.0)
