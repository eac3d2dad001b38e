"""Low-rank adapters beside a pretrained encoder: what they change, and that only they and the head are trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_server.rounds.aggregate import check_update, mean_of_sum
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle, weights_of
from gaitkeeper_shared.models.parts import part_of
from gaitkeeper_shared.models.registry import GaitModel, build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.secure.arithmetic import encode
from gaitkeeper_shared.study import Input

KINDS = ("lstm", "gru", "tcn", "transformer")
WINDOW = Input(channels=("hip_flexion_left", "knee_flexion_left", "pelvis_speed"), rate_hz=10.0, window_s=1.0)


def spec(kind: str, trained: str = "adapters+head", rank: int = 2) -> ModelSpec:
    return ModelSpec(kind, 8, 2, 3, trained, WINDOW, ("healthy", "patient"), "0" * 64, adapter_rank=rank)


def people(count: int, seed: int) -> tuple[Person, ...]:
    draw = np.random.default_rng(seed)
    return tuple(Person(f"p{i}", i % 2, draw.normal(size=(1 + i % 3, 10, 3)).astype(np.float32)) for i in range(count))


def corrected(model: GaitModel, seed: int) -> GaitModel:
    """The model with adapters that are not zero, as after some rounds."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if part_of(name) == "adapters":
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def slow_rows(model: GaitModel, person: Person) -> list[torch.Tensor]:
    """Gradients by each trained number of a patient's mean loss, window by window, by finite differences."""
    twin = model.double()  # finite differences need the digits
    rows = []
    for parameter in twin.private_parameters():
        row = torch.zeros_like(parameter)
        for index in np.ndindex(*parameter.shape):
            losses = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter[index] += step
                    logits = torch.cat([twin(torch.from_numpy(w)[None].double()) for w in person.windows])
                    losses.append(float(-torch.log_softmax(logits, dim=1)[:, person.class_index].mean()))
                    parameter[index] -= step
            row[index] = (losses[0] - losses[1]) / 2e-5
        rows.append(row)
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_adapter_changes_nothing_and_a_trained_one_is_its_product_beside_the_weights(kind: str) -> None:
    model, plain = build(spec(kind)), build(spec(kind, "head", 0))
    bodies = {f"encoder.{n.removeprefix('encoder.body.')}": t for n, t in model.state_dict().items() if ".body." in n}
    plain.load_state_dict({**bodies, "head.weight": model.head.weight, "head.bias": model.head.bias})
    windows = torch.randn(3, 10, 3)
    untrained = model(windows)
    torch.testing.assert_close(untrained, plain(windows))
    corrected(model, 1)
    adapted = [name for name, p in model.encoder.body.named_parameters() if p.dim() >= 2]  # type: ignore[union-attr]
    with torch.no_grad():
        merged = plain.encoder.state_dict()
        for place, name in enumerate(adapted):
            a = model.state_dict()[f"encoder.basis.{place}"]
            b = model.state_dict()[f"encoder.correction.{place}"]
            merged[name] += (b @ a).reshape(merged[name].shape)
    assert not torch.allclose(model(windows), untrained, atol=1e-3)
    torch.testing.assert_close(model(windows), plain(windows), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 99))
@settings(max_examples=2, deadline=None)
def test_a_private_step_is_the_slow_gradient_of_the_trained_numbers(kind: str, seed: int) -> None:
    small = ModelSpec(kind, 2, 1, seed, "adapters+head", WINDOW, ("healthy", "patient"), "0" * 64, adapter_rank=1)
    model, twin = corrected(build(small), seed), corrected(build(small), seed)
    person = people(3, seed)[2]
    before = [parameter.detach().clone() for parameter in model.private_parameters()]
    train_private(model, (person,), PrivateSteps(1, 1.0, 0.0, 100.0, 1.0, 1.0, 0.0))
    for old, new, slow in zip(before, model.private_parameters(), slow_rows(twin, person), strict=True):
        np.testing.assert_allclose((old - new.detach()).numpy(), slow.detach().numpy(), atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_only_adapters_and_head_move_and_the_coordinator_takes_no_other_change(kind: str) -> None:
    model = build(spec(kind))
    before = weights_of(model)
    train_private(model, people(5, 1), PrivateSteps(2, 0.5, 0.9, 1.0, 1.0, 3.0, 1.0))
    after = weights_of(model)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {part_of(name) for name in moved} == {"adapters", "head"}
    assert sum(after[name].size for name in moved) < sum(after[n].size for n in after if part_of(n) == "encoder")
    check_update("north", after, before, "adapters+head")
    other = next(name for name in before if part_of(name) in ("encoder", "fixed"))
    with pytest.raises(GaitkeeperError) as error:
        check_update("north", {**after, other: after[other] + 1.0}, before, "adapters+head")
    assert error.value.code == "update-unusable"
    # Under masks the sum of two updates gives their mean, and what nobody trains comes back as it was.
    mean = mean_of_sum(encode(after) + encode(before), ("east", "north"), before, "adapters+head")
    for name in before:
        if name in moved:
            np.testing.assert_allclose(mean[name], (after[name] + before[name]) / 2, atol=1e-5)
        else:
            assert np.array_equal(mean[name], before[name])


def test_an_adapted_model_is_kept_and_read_again() -> None:
    bundle = ModelBundle(spec("lstm"), weights_of(corrected(build(spec("lstm")), 3)))
    again = ModelBundle.from_bytes(bundle.to_bytes())
    assert again.spec == bundle.spec
    windows = people(1, 2)[0].windows
    np.testing.assert_array_equal(again.predict(windows), bundle.predict(windows))
