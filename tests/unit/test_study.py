"""The study: strict parsing, clear refusals, identity by bytes."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import load_study, parse_study, study_hash

GOOD = """
schema = "gaitkeeper.study/1"
name = "first-study"
[task]
labels = ["healthy", "patient"]
[task.map]
"Joint Problem" = "patient"
[input]
channels = ["knee_flexion_left", "knee_flexion_right"]
[training]
rounds = 5
[privacy]
epsilon = 8
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""


def test_a_good_study_is_read_whole() -> None:
    study = parse_study(GOOD.encode())

    assert study.task.class_of("healthy") == 0
    assert study.task.class_of("Joint Problem") == 1
    assert study.task.class_of("unknown") is None
    assert study.privacy.epsilon == 8.0
    assert study.input.window_samples == 60


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("rounds = 5", "rounds = 5\nrouns = 6", "study-unknown-key", "training.rouns"),
        ("epsilon = 8", "epsilon = 0", "study-bad-value", "privacy.epsilon"),
        ("epsilon = 8", "epsilon = nan", "study-bad-value", "privacy.epsilon"),
        ("epsilon = 8", 'epsilon = "8"', "study-bad-value", "privacy.epsilon"),
        ("epsilon = 8", "epsilon = true", "study-bad-value", "privacy.epsilon"),
        ("delta = 1e-3\n", "", "study-missing-key", "privacy.delta"),
        ("delta = 1e-3", "delta = 0.126", "study-bad-value", "1 / privacy.patients_per_site"),
        ("delta = 1e-3", "delta = 0.0", "study-bad-value", "privacy.delta"),
        ("[privacy]", "[evaluation]\nepsilon = 8.5\n[privacy]", "study-bad-value", "evaluation.epsilon"),
        ("[privacy]", "[evaluation]\nepsilon = inf\n[privacy]", "study-bad-value", "evaluation.epsilon"),
        ("sample_rate = 0.5", "sample_rate = 1.5", "study-bad-value", "privacy.sample_rate"),
        ("rounds = 5", "rounds = 5.5", "study-bad-value", "training.rounds"),
        ('"knee_flexion_left"', '"knee_flexoin_left"', "study-bad-value", "knee_flexoin_left"),
        ('= "patient"', '= "pateint"', "study-bad-value", "Joint Problem"),
        ('name = "first-study"', 'name = "../evil"', "study-bad-value", "name"),
        ("[privacy]", "[privacy]\nunit = 'recording'", "study-bad-value", "privacy.unit"),
        ("gaitkeeper.study/1", "gaitkeeper.study/9", "study-bad-value", "schema"),
        ("[task]", "[task", "study-not-toml", "line"),
    ],
)
def test_a_bad_study_is_refused_by_name(old: str, new: str, code: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(GaitkeeperError) as caught:
        parse_study(GOOD.replace(old, new).encode())
    assert caught.value.code == code
    assert named in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("kind", "branch", "channels", "named"),
    [
        ("strides", "none", ("foot_force_left", "pelvis_speed"), "foot_force_right"),
        ("symmetry", "none", ("foot_force_left", "foot_force_right"), "model.kind"),
        ("lstm", "symmetry", ("foot_force_right", "pelvis_speed"), "model.branch"),
        ("symmetry", "symmetry", ("knee_flexion_left", "pelvis_speed"), ""),
        ("strides", "none", ("foot_force_right", "foot_force_left"), ""),
        ("lstm", "none", ("foot_force_left", "knee_flexion_left"), ""),
    ],
)
def test_a_model_that_cannot_be_built_of_the_channels_is_refused_by_name(
    kind: str, branch: str, channels: tuple[str, ...], named: str
) -> None:
    listed = ", ".join(f'"{channel}"' for channel in channels)
    text = re.sub(r"channels = \[.*?\]", f"channels = [{listed}]", GOOD, flags=re.DOTALL)
    text = text.replace("[privacy]", f'[model]\nkind = "{kind}"\nbranch = "{branch}"\n[privacy]')
    if not named:
        study = parse_study(text.encode())
        build(ModelSpec.of(study, study_hash(text.encode())))
        return
    with pytest.raises(GaitkeeperError) as caught:
        parse_study(text.encode())
    assert (caught.value.code, caught.value.exit_status) == ("study-bad-value", 2)
    assert named in str(caught.value)


def test_patients_kept_out_pay_no_more_than_the_others() -> None:
    assert parse_study(GOOD.encode()).evaluation.epsilon == 2.0
    assert parse_study(GOOD.replace("epsilon = 8", "epsilon = 1.5").encode()).evaluation.epsilon == 1.5
    nobody = GOOD.replace("[privacy]", "[evaluation]\nholdout = 0.0\nepsilon = 9.0\n[privacy]")
    assert parse_study(nobody.encode()).evaluation.holdout == 0.0
    assert parse_study(GOOD.replace("delta = 1e-3", "delta = 0.125").encode()).privacy.delta == 0.125


def test_the_hash_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(GOOD, "utf-8")
    _, data = load_study(path)
    assert study_hash(data) == study_hash(path.read_bytes())
    assert study_hash(data) != study_hash(data + b"\n")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(GaitkeeperError, match="study new"):
        load_study(tmp_path / "nothing.toml")


def test_infinite_epsilon_is_a_value_for_rehearsals() -> None:
    assert math.isinf(parse_study(GOOD.replace("epsilon = 8", "epsilon = inf").encode()).privacy.epsilon)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_study_or_a_catalogue_error(data: bytes) -> None:
    with pytest.raises(GaitkeeperError):
        parse_study(data)
