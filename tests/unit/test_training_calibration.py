"""Calibration rounds: the slow gradient by sharpness and offsets, clipped, weighed, noised; and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.training.calibration import calibrate_private, sharpened
from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.dpsgd import PrivateSteps
from gaitkeeper_client.training.incoming import check_incoming
from gaitkeeper_client.training.refusals import PUBLIC_CODES
from gaitkeeper_server.rounds.bounds import largest_update
from gaitkeeper_server.rounds.rehearsal_calibration import calibration
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import weights_of
from gaitkeeper_shared.models.registry import GaitModel, build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.calibration import (
    STEPS_OF_NOISE,
    TYPICAL_LOGIT,
    check_calibration,
    factor_digits,
    factor_noise,
)
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.secure.arithmetic import FRACTION_BITS, encode
from gaitkeeper_shared.study import Input, parse_study

WINDOW = Input(channels=("hip_flexion_left", "hip_flexion_right", "pelvis_speed"), rate_hz=10.0, window_s=1.0)
LABELS = ("healthy", "ill", "other")


def model_of(kind: str, trained: str, seed: int) -> GaitModel:
    model = build(ModelSpec(kind, 4, 1, seed, trained, WINDOW, LABELS, "0" * 64))
    with torch.no_grad():
        model.head.weight *= 6.0
    return model


def people(count: int, seed: int) -> tuple[Person, ...]:
    draw = np.random.default_rng(seed)
    return tuple(
        Person(f"p{i}", i % 3, (draw.normal(size=(1 + i % 3, 10, 3)) + i % 3).astype(np.float32)) for i in range(count)
    )


@pytest.mark.parametrize(("kind", "trained"), [("symmetry", "all"), ("lstm", "head"), ("lstm", "all")])
@given(seed=st.integers(0, 99), count=st.integers(0, 5), clip=st.sampled_from([0.05, 0.5, 50.0]))
@settings(max_examples=6, deadline=None)
def test_a_step_is_the_clipped_sum_over_patients(kind: str, trained: str, seed: int, count: int, clip: float) -> None:
    model, twin, drawn = model_of(kind, trained, seed), model_of(kind, trained, seed), people(count, seed)
    weights = (1.0, 0.5, 0.8)
    calibrate_private(model, drawn, PrivateSteps(1, 0.7, 0.9, clip, 1.0, 3.0, 0.0, weights), 2.0)
    total = torch.zeros(4, dtype=torch.float64)
    for person in drawn:
        # Sharpness in units of the typical logit, then the offsets, as torch differentiates them.
        place = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        logits = twin(torch.from_numpy(person.windows)).detach().double()
        mended = (1.0 + place[0] / TYPICAL_LOGIT) * logits + place[1:]
        (-torch.log_softmax(mended, dim=1)[:, person.class_index].mean()).backward()  # type: ignore[no-untyped-call]
        assert place.grad is not None
        total += place.grad * weights[person.class_index] * min(1.0, clip / float(place.grad.norm()))
    step = (2.0 * total / 3.0).float()
    factor = 1.0 - step[0] / TYPICAL_LOGIT
    torch.testing.assert_close(model.head.weight, twin.head.weight * factor, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.head.bias, twin.head.bias * factor - step[1:], atol=1e-4, rtol=1e-4)
    for name, array in weights_of(model).items():
        assert name.startswith("head.") or np.array_equal(array, weights_of(twin)[name])


@given(
    seed=st.integers(0, 999),
    size=st.sampled_from([1e-6, 1e-3, 0.3, 40.0, 1000.0]),
    noise=st.sampled_from([1e-4, 0.01, 0.1, 2.0]),
)
@settings(max_examples=40, deadline=None)
def test_the_sum_of_two_sites_heads_tells_the_sum_of_their_factors_and_nothing_else(
    seed: int, size: float, noise: float
) -> None:
    draw = np.random.default_rng(seed)
    weights = (draw.normal(size=(2, 64)) * size).astype(np.float32).astype(np.float64)
    own = 1.0 + draw.normal(0.0, min(noise, 0.5), 2)
    sent, used = zip(*(sharpened(weights, factor, noise) for factor in own), strict=True)
    assert np.allclose(used, own, rtol=0.0, atol=max(noise / 16.0, 2.0**-12))
    for array, factor in zip(sent, used, strict=True):
        assert np.array_equal(array, array.astype(np.float32))
        assert np.array_equal(array * 2.0**FRACTION_BITS, np.rint(array * 2.0**FRACTION_BITS))
        scale = max(float(np.abs(weights).max()), 2.0**-15)
        assert np.allclose(array, weights * factor, rtol=0.0, atol=abs(factor) * scale * 2.0**-9)
    # As if each had moved by the mean of both: nobody sees who moved how far.
    shift = 2.0**-4
    others = [sharpened(weights, used[0] + shift, noise)[0], sharpened(weights, used[1] - shift, noise)[0]]
    first, second = (
        encode({"head.weight": a.astype(np.float32)}) + encode({"head.weight": b.astype(np.float32)})
        for a, b in (sent, others)
    )
    assert np.array_equal(first, second)


def test_an_empty_site_and_a_broken_patient_still_add_the_whole_noise() -> None:
    broken = Person("bad", 0, np.full((1, 10, 3), np.nan, dtype=np.float32))
    moves = []
    for _ in range(400):
        model = model_of("symmetry", "all", 1)
        before = model.head.bias.detach().clone(), model.head.weight.detach().clone()
        calibrate_private(model, (broken,), PrivateSteps(1, 1.0, 0.0, 0.5, 1.0, 4.0, 3.0), 1.0)
        factor = float((model.head.weight.detach() / before[1]).flatten()[0])
        moves.append([(factor - 1.0) * TYPICAL_LOGIT, *(model.head.bias.detach() - before[0] * factor).tolist()])
    assert np.std(moves) == pytest.approx(3.0 * 0.5 / 4.0, rel=0.08)
    assert np.abs(np.corrcoef(np.array(moves).T) - np.eye(4)).max() < 0.2


def test_honest_updates_are_within_the_coordinators_bound() -> None:
    study = parse_study(STUDY)
    prices = plan(study)
    model = model_of("symmetry", "all", 1)
    before = weights_of(model)
    steps = PrivateSteps(1, 0.5, 0.0, 0.5, 1.0, 4.0, prices.site_noise_multiplier)
    calibrate_private(model, people(30, 1), steps, study.training.calibration_rate)
    moved = sum(float(np.sum((array - before[name]) ** 2)) for name, array in weights_of(model).items()) ** 0.5
    assert moved < largest_update(study, prices, before, 4)


def test_overconfident_and_shifted_scores_become_probabilities() -> None:
    draw = np.random.default_rng(2)
    group = tuple(
        Person(f"p{i}", i % 2, (0.4 * draw.normal(size=(1, 10, 3)) + 0.1 * (i % 2)).astype(np.float32))
        for i in range(400)
    )
    model = build(ModelSpec("symmetry", 1, 1, 1, "all", WINDOW, ("healthy", "ill"), "0" * 64))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[0.0, -9.0], [0.0, 9.0]]))
        model.head.bias.copy_(torch.tensor([2.0, -2.0]))
    known, unseen = group[:200], group[200:]

    def judged() -> tuple[float, float]:
        with torch.no_grad():
            rows = [model.objective.answers(model(torch.from_numpy(p.windows)))[0].double().numpy() for p in unseen]
        found = calibration(np.array([p.class_index for p in unseen]), [np.stack(rows)], (), 0.6)
        return found.expected_error, found.log_loss

    before = judged()
    for _ in range(12):
        calibrate_private(model, known, PrivateSteps(1, 1.0, 0.0, 0.5, 1.0, 100.0, 1.2), 8.0)
    after = judged()
    assert after[0] < 0.6 * before[0]
    assert after[1] < before[1]


STUDY = b"""
name = "calibration-test"
[task]
labels = ["healthy", "ill", "other"]
certain_from = 0.6
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
[model]
kind = "symmetry"
[training]
rounds = 5
calibration = 2
[privacy]
epsilon = 8.0
delta = 1e-2
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"calibration = 2", b"calibration = 5"),
        (b'kind = "symmetry"', b'kind = "lstm"\ntrained = "encoder"'),
        (b"certain_from = 0.6", b"certain_from = 0.3"),
        (b"certain_from = 0.6", b"certain_from = 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(GaitkeeperError) as error:
        parse_study(STUDY.replace(old, new))
    assert error.value.code == "study-bad-value"


MASKED = (
    STUDY
    + b"""
trust = "distributed"
colluding = 1
[federation]
quorum = 3
aggregation = "secure"
"""
)


def test_noise_that_rounding_would_swallow_is_refused_before_anything_is_charged() -> None:
    quiet = parse_study(MASKED.replace(b"calibration = 2", b"calibration = 2\ncalibration_rate = 0.001"))
    weights = weights_of(model_of("symmetry", "all", 1))
    with pytest.raises(GaitkeeperError) as error:
        check_incoming(quiet, plan(quiet), weights)
    assert error.value.code == "calibration-noise"
    assert error.value.code in PUBLIC_CODES  # it is made of the study alone, and the coordinator has to mend it
    enough = float(str(error.value.remedy).split("calibration_rate to ")[1].split(" ")[0]) * 1.01
    mended = MASKED.replace(b"calibration = 2", f"calibration = 2\ncalibration_rate = {enough}".encode())
    check_incoming(parse_study(mended), plan(parse_study(mended)), weights)
    # Whole noise is added before rounding: nothing is lost.
    local = parse_study(STUDY.replace(b"calibration = 2", b"calibration = 2\ncalibration_rate = 0.001"))
    check_calibration(local, plan(local))


def test_what_a_sum_of_rounded_shares_tells_is_noise_and_not_the_factor() -> None:
    """At the least noise that is allowed a sum over sites has the whole noise; far below it, none is left."""
    draw = np.random.default_rng(4)
    weights, step = np.ones((1, 1)), 2.0**-11

    def deviation(noise: float) -> float:
        sums = [sum(sharpened(weights, 1.0 + draw.normal(0.0, noise), noise)[1] for _ in range(3)) for _ in range(2000)]
        return float(np.std(sums)) / noise / 3**0.5

    assert deviation(STEPS_OF_NOISE * step) == pytest.approx(1.0, abs=0.06)
    assert deviation(step / 16.0) == 0.0


def test_a_site_with_far_more_patients_than_foreseen_keeps_the_factor_within_its_digits() -> None:
    model = model_of("symmetry", "all", 3)
    before = model.head.weight.detach().clone()
    steps = PrivateSteps(1, 1.0, 0.0, 50.0, 1.0, 1.0, 1e-4)
    calibrate_private(model, people(40, 3), steps, 90.0)
    factor = float((model.head.weight.detach() / before).flatten()[0])
    whole, _ = factor_digits(factor_noise(90.0, 1e-4, 50.0, 1.0))
    assert abs(factor - 1.0) > 2.0  # the bound was reached or neared, so that this could fail
    assert abs(factor) < 2.0**whole


def test_calibration_is_in_the_price() -> None:
    """The rounds that calibrate are of the study's rounds: all of them together cost what it promises."""
    with_, without = plan(parse_study(STUDY)), plan(parse_study(STUDY.replace(b"calibration = 2", b"")))
    assert with_ == without
