"""Patient-level DP-SGD against the slow, obvious computation, for every kind of model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.training import dpsgd
from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_client.training.frozen import frozen_features
from gaitkeeper_shared.models.channels import FORCE_CHANNELS
from gaitkeeper_shared.models.registry import build, kinds
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Input

CHANNELS = ("hip_flexion_left", "knee_flexion_left", "pelvis_speed")
WINDOW = Input(channels=CHANNELS, rate_hz=10.0, window_s=1.0)
FORCES = Input(channels=(*(channel.name for channel in FORCE_CHANNELS), "pelvis_speed"), rate_hz=10.0, window_s=1.0)


def spec(kind: str, trained: str = "all") -> ModelSpec:
    window = FORCES if kind == "strides" else WINDOW
    rank = 2 if "adapters" in trained else 0
    return ModelSpec(kind, 8, 1, 3, trained, window, ("healthy", "patient"), "0" * 64, adapter_rank=rank)


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def people(count: int, seed: int, scale: float = 1.0) -> tuple[Person, ...]:
    generator = np.random.default_rng(seed)
    return tuple(
        Person(f"p{i}", i % 2, (scale * generator.normal(size=(1 + i % 3, 10, 3))).astype(np.float32))
        for i in range(count)
    )


def slow_step(model: torch.nn.Module, drawn: tuple[Person, ...], clip: float, normaliser: float) -> list[torch.Tensor]:
    """Mean loss of a patient window by window, gradient by finite bookkeeping, clip, sum, divide: no cleverness."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    for person in drawn:
        gradient = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        for window in person.windows:
            model.zero_grad()
            logits = model(torch.from_numpy(window)[None])
            loss = -torch.log_softmax(logits, dim=1)[0, person.class_index]
            loss.backward()
            for sum_, parameter in zip(gradient, parameters, strict=True):
                assert parameter.grad is not None
                sum_ += parameter.grad.double() / len(person.windows)
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradient))
        for sum_, g in zip(total, gradient, strict=True):
            sum_ += g * min(1.0, clip / norm)
    return [t / normaliser for t in total]


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("trained", ["all", "head"])
@given(count=st.integers(0, 5), seed=st.integers(0, 99), scale=st.sampled_from([0.1, 1.0, 5.0]))
@settings(max_examples=5, deadline=None)
def test_a_step_is_the_clipped_sum_over_patients(kind: str, trained: str, count: int, seed: int, scale: float) -> None:
    model, twin = build(spec(kind, trained)), build(spec(kind, trained))
    drawn = people(count, seed, scale)
    steps = PrivateSteps(1, 1.0, 0.0, 0.7, 1.0, 3.0, 0.0)
    before = [p.detach().clone() for p in model.private_parameters()]
    train_private(model, drawn, steps)
    expected = slow_step(twin, drawn, 0.7, 3.0)
    for old, new, step in zip(before, model.private_parameters(), expected, strict=True):
        np.testing.assert_allclose((old - new.detach()).numpy(), step.numpy(), atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "trained"), [("lstm", "all"), ("transformer", "all"), ("lstm", "adapters+head"), ("tcn", "adapters+head")]
)
def test_patients_side_by_side_have_the_rows_that_they_have_one_after_the_other(kind: str, trained: str) -> None:
    group = people(24, 13)
    moves = []
    with _threads():
        for cores in (1, 2, 5):
            torch.set_num_threads(cores)
            model = build(spec(kind, trained))
            train_private(model, group, PrivateSteps(1, 1.0, 0.0, 0.7, 1.0, 3.0, 0.0))
            assert torch.get_num_threads() == cores
            moves.append([parameter.detach() for parameter in model.parameters()])
    for others in moves[1:]:
        for a, b in zip(moves[0], others, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_what_goes_wrong_with_one_patient_is_heard_and_leaves_the_cores_as_they_were() -> None:
    good, wide = people(3, 14), Person("wide", 0, np.zeros((1, 10, 4), dtype=np.float32))
    with _threads():
        torch.set_num_threads(3)
        with pytest.raises(RuntimeError, match="size"):
            train_private(build(spec("tcn")), (*good, wide), PrivateSteps(1, 1.0, 0.0, 0.7, 1.0, 3.0, 0.0))
        assert torch.get_num_threads() == 3


def test_only_the_head_moves_where_the_study_says_so() -> None:
    model = build(spec("lstm", "head"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_private(model, people(6, 1), PrivateSteps(2, 0.5, 0.9, 1.0, 1.0, 3.0, 1.0))
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"head.weight", "head.bias"}


def test_features_of_a_frozen_encoder_are_kept_and_never_those_of_another_encoder_or_patient() -> None:
    one, same, other = build(spec("lstm", "head")), build(spec("lstm", "head")), build(spec("lstm", "head"))
    with torch.no_grad():
        next(other.encoder.parameters()).add_(0.1)
    first, second = people(2, 4)
    features = frozen_features(one, first.windows)
    assert frozen_features(same, first.windows) is features
    torch.testing.assert_close(features, one.encoder(torch.from_numpy(first.windows)).detach())
    assert not torch.allclose(frozen_features(other, first.windows), features, atol=1e-4)
    torch.testing.assert_close(
        frozen_features(one, second.windows), one.encoder(torch.from_numpy(second.windows)).detach()
    )


def test_noise_has_the_promised_size_and_an_empty_site_still_adds_it() -> None:
    steps = PrivateSteps(1, 1.0, 0.0, 0.5, 0.5, 4.0, 3.0)
    moves = []
    for _ in range(40):
        model = build(spec("lstm"))
        before = torch.cat([p.detach().flatten().clone() for p in model.private_parameters()])
        train_private(model, (), steps)
        moves.append(torch.cat([p.detach().flatten() for p in model.private_parameters()]) - before)
    spread = float(torch.stack(moves).std())
    assert spread == pytest.approx(3.0 * 0.5 / 4.0, rel=0.03)


def test_the_divisor_does_not_depend_on_how_many_patients_there_are() -> None:
    alone, twice = build(spec("lstm")), build(spec("lstm"))
    before = alone.head.weight.detach().clone()
    steps = PrivateSteps(1, 1.0, 0.0, 0.01, 1.0, 10.0, 0.0)
    person = people(1, 5)
    train_private(alone, person, steps)
    train_private(twice, person * 2, steps)
    np.testing.assert_allclose(
        (twice.head.weight.detach() - before).numpy(), 2 * (alone.head.weight.detach() - before).numpy(), atol=1e-6
    )


def test_one_patients_overflow_neither_spoils_nor_shows() -> None:
    good = people(2, 7)
    bad = Person("bad", 0, np.full((1, 10, 3), np.nan, dtype=np.float32))
    with_bad, without = build(spec("lstm")), build(spec("lstm"))
    steps = PrivateSteps(1, 1.0, 0.0, 0.5, 1.0, 3.0, 0.0)
    train_private(with_bad, (*good, bad), steps)
    train_private(without, good, steps)
    for a, b in zip(with_bad.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)


def test_momentum_goes_on_in_the_next_round() -> None:
    one_go, two_rounds = build(spec("gru")), build(spec("gru"))
    group = people(4, 11)
    train_private(one_go, group, PrivateSteps(2, 0.1, 0.9, 0.5, 1.0, 4.0, 0.0))
    kept = train_private(two_rounds, group, PrivateSteps(1, 0.1, 0.9, 0.5, 1.0, 4.0, 0.0))
    train_private(two_rounds, group, PrivateSteps(1, 0.1, 0.9, 0.5, 1.0, 4.0, 0.0), kept)
    for a, b in zip(one_go.parameters(), two_rounds.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-6)


def test_patients_are_drawn_at_the_public_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(dpsgd, "patient_gradients", _counting(drawn, dpsgd.patient_gradients))
    train_private(build(spec("lstm")), people(20, 2), PrivateSteps(60, 0.01, 0.0, 0.5, 0.3, 6.0, 1.0))
    assert np.mean(drawn) == pytest.approx(6.0, abs=1.1)
    assert len(set(drawn)) > 3


def test_class_weights_shrink_clipped_gradients_and_never_exceed_the_clip() -> None:
    for index, weight in ((0, 1.0), (1, 0.25)):
        plain, weighed = build(spec("lstm")), build(spec("lstm"))
        person = (people(2, 3)[index],)
        before = [p.detach().clone() for p in plain.private_parameters()]
        train_private(plain, person, PrivateSteps(1, 1.0, 0.0, 0.05, 1.0, 1.0, 0.0))
        train_private(weighed, person, PrivateSteps(1, 1.0, 0.0, 0.05, 1.0, 1.0, 0.0, (1.0, 0.25)))
        for old, a, b in zip(before, plain.private_parameters(), weighed.private_parameters(), strict=True):
            np.testing.assert_allclose((b.detach() - old).numpy(), weight * (a.detach() - old).numpy(), atol=2e-6)


def _counting(drawn: list[int], real):  # type: ignore[no-untyped-def]
    def count(model, patients) -> None:  # type: ignore[no-untyped-def]
        drawn.append(len(patients))
        real(model, patients)

    return count
