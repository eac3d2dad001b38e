"""Angles in three planes as people read them: report, page of a validation, and the angles of OpenSim beside them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from insight_fixtures import walk_analysis

from gaitkeeper_client.gait import planes
from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.charts.curves import SideCurve, curve_chart
from gaitkeeper_client.insight.pdf_report import render_report_pdf
from gaitkeeper_client.insight.wording import PLANES
from gaitkeeper_client.lab.mot import angles_in_planes, read_mot
from gaitkeeper_client.sources import analyse_file
from gaitkeeper_client.validation.page import page
from gaitkeeper_client.validation.validate import summary, validate_file

DATA = Path(os.environ.get("GAITKEEPER_DATA", Path(__file__).resolve().parents[3] / "shared/data"))


def need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is absent: GAITKEEPER_DATA is {DATA}")
    return path


def test_an_angle_that_stays_0_is_drawn() -> None:
    nothing = np.zeros(101)
    chart = curve_chart("Knee, adduction", ("varus", "valgus"), {"left": SideCurve(nothing, nothing, 1, None)}, None)
    assert "curve left" in chart


def test_opensims_pelvis_is_compared_only_of_who_walks_along_its_x(tmp_path: Path) -> None:
    file = tmp_path / "ik.mot"
    names = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "hip_adduction_l", "hip_rotation_r")
    expected = {f"pelvis_tilt_{side}": -3.0 for side in ("left", "right")}
    expected |= {"pelvis_obliquity_right": -4.0, "pelvis_obliquity_left": 4.0}
    expected |= {"pelvis_rotation_right": 5.0, "pelvis_rotation_left": -5.0}
    hips = {"hip_adduction_left": 6.0, "hip_rotation_right": 7.0}
    for turn, there in ((0.0, expected | hips), (180.0, hips)):
        for unit, factor in (("yes", 1.0), ("no", np.pi / 180.0)):
            row = [factor * angle for angle in (3.0, 4.0, 5.0 + turn, 6.0, 7.0)]
            rows = [f"{time}\t" + "\t".join(f"{value:.9f}" for value in row) for time in (0.0, 0.1, 0.2)]
            head = ["ik", f"inDegrees={unit}", "endheader", "time\t" + "\t".join(names)]
            file.write_text("\n".join([*head, *rows]) + "\n", "utf-8")
            angles = {name: float(values[0]) for name, values in angles_in_planes(read_mot(file)).items()}
            assert angles == pytest.approx(there, abs=1e-6), (turn, unit)


def test_the_page_of_a_validation_names_the_angles_and_their_signs() -> None:
    one = validate_file(need(DATA / "c3d/biomechzoo-children/HC002D/Straight/HC002D06.c3d"))
    text = page([one], summary([one]))
    assert "hip adduction, left" in text
    assert "hip_adduction" not in text
    assert "Positive: flexion" in text
    assert "of the arithmetic, and none of a measurement" in text


def test_every_angle_has_its_words_and_they_need_no_scipy() -> None:
    assert tuple(PLANES) == planes.PLANES
    code = "import sys; from gaitkeeper_client.insight import wording; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_each_angle_says_what_upwards_and_downwards_mean() -> None:
    said = {name: directions for name, (_, directions) in PLANES.items()}
    assert said["pelvis_tilt"] == ("front down", "front up")
    assert said["pelvis_obliquity"] == ("side up", "side down")
    assert said["pelvis_rotation"] == ("side in front", "side behind")
    assert said["hip_adduction"] == ("adduction", "abduction")
    assert said["knee_flexion"] == said["hip_flexion"] == ("flexion", "extension")
    assert said["knee_adduction"] == ("varus", "valgus")
    assert said["ankle_dorsiflexion"] == ("dorsiflexion", "plantarflexion")
    assert said["ankle_inversion"] == ("inversion", "eversion")
    assert {said[f"{joint}_rotation"] for joint in ("hip", "knee", "ankle")} == {("inwards", "outwards")}


def paper(folder: Path, analysis: Analysis) -> str:
    """The words of the report's pages."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (Debian package poppler-utils) is not installed: the pages' words are not read")
    (folder / "report.pdf").write_bytes(render_report_pdf(analysis))
    command = ["pdftotext", "-layout", str(folder / "report.pdf"), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_on_paper_too_a_curve_of_one_cycle_is_no_mean(tmp_path: Path) -> None:
    analysis = walk_analysis()
    left = [cycle for cycle in analysis.cycles if cycle.side == "left"]
    right = next(cycle for cycle in analysis.cycles if cycle.side == "right")
    text = paper(tmp_path, dataclasses.replace(analysis, cycles=(*left, right)))
    assert "Solid: left, mean ± SD; dashed: right, one cycle." in text


def test_the_paper_has_them_too(tmp_path: Path) -> None:
    text = paper(tmp_path, analyse_file(need(DATA / "c3d/biomechzoo-children/HC002D/Straight/HC002D06.c3d")))
    assert "Joint angles in three planes" in text
    assert "Ankle, rotation" in text
    assert "Ankle, inversion" not in text  # the foot of Plug-in Gait is a line
