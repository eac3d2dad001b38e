"""A severity as a task: bounded targets, private steps against the slow gradient, noised tables of grades, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr
from tests.unit.training_fixtures import Site, people

from gaitkeeper_client.training.dataset import SiteDataset
from gaitkeeper_client.training.dpsgd import PrivateSteps, train_private
from gaitkeeper_client.training.rehearsal import provider
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.ledger import Ledger
from gaitkeeper_server.rounds.grades import grade_scores, scores_of
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_server.rounds.rehearsal_severity import rank_correlation, severity_score
from gaitkeeper_server.rounds.states import Outcome, SiteOutcome
from gaitkeeper_shared.arrays import IntArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import decode_reply, encode_reply
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.registry import build
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.rehearsal import RehearsalPerson, RehearsalRun
from gaitkeeper_shared.study import Input, parse_study

STUDY = b"""
name = "severity-test"
[task]
kind = "severity"
labels = ["none", "mild", "severe"]
values = [0.0, 1.0, 3.0]
map = { control = "none" }
[input]
channels = ["knee_flexion_left", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 4
[training]
rounds = 3
[privacy]
epsilon = 4.0
delta = 1e-3
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
[evaluation]
holdout = 0.25
epsilon = 2.0
"""


def test_labels_and_numbers_are_grades_and_beyond_the_ends_is_the_end() -> None:
    task = parse_study(STUDY).task
    told = ["none", "control", "mild", "2.1", "0.4", "-7", "99", "unclear", "nan"]
    assert [task.class_of(label) for label in told] == [0, 0, 1, 2, 0, 0, 2, None, None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"values = [0.0, 1.0, 3.0]", b"values = [0.0, 3.0, 1.0]"),
        (b"values = [0.0, 1.0, 3.0]", b"values = [0.0, 1.0]"),
        (b'kind = "severity"\n', b""),
        (b"rounds = 3", b"rounds = 3\ncalibration = 1"),
        (b"values", b"certain_from = 0.7\nvalues"),
    ],
)
def test_what_a_severity_cannot_be_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(GaitkeeperError) as error:
        parse_study(STUDY.replace(old, new))
    assert error.value.code == "study-bad-value"


@pytest.mark.parametrize(("kind", "trained"), [("lstm", "all"), ("lstm", "head"), ("tcn", "adapters+head")])
def test_a_private_step_is_the_clipped_gradient_of_half_the_squared_error(kind: str, trained: str) -> None:
    window = Input(channels=("knee_flexion_left", "pelvis_speed"), rate_hz=10.0, window_s=1.0)
    labels = ("none", "mild", "severe")
    rank = 1 if "adapters" in trained else 0
    spec = ModelSpec(kind, 4, 1, 3, trained, window, labels, "0" * 64, adapter_rank=rank, values=(0.0, 1.0, 3.0))
    model, twin = build(spec), build(spec)
    drawn = people(3, "t")
    before = [parameter.detach().clone() for parameter in model.private_parameters()]
    train_private(model, drawn, PrivateSteps(1, 1.0, 0.0, 0.1, 1.0, 2.0, 0.0))
    slow = [torch.zeros_like(parameter) for parameter in before]
    for person in drawn:
        twin.zero_grad()
        target = (-1.0, -1.0 / 3.0, 1.0)[person.class_index]
        outputs = torch.stack([twin(torch.from_numpy(w)[None])[0, 0] for w in person.windows])
        (0.5 * (outputs - target) ** 2).mean().backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in twin.private_parameters() if p.grad is not None]
        length = float(torch.sqrt(sum(((g**2).sum() for g in gradients), torch.zeros(()))))
        assert length > 0.1  # so that the clipping is seen
        for total, gradient in zip(slow, gradients, strict=True):
            total += gradient * (0.1 / length) / 2.0
    for old, new, step in zip(before, model.private_parameters(), slow, strict=True):
        np.testing.assert_allclose((old - new.detach()).numpy(), step.numpy(), atol=1e-5)


def test_it_learns_the_order_and_says_nothing_beyond_the_ends() -> None:
    data = STUDY.replace(b"epsilon = 4.0", b"epsilon = inf").replace(b"rounds = 3", b"rounds = 40\naverage = 0.3")
    data = data.replace(b"sample_rate = 0.5", b"sample_rate = 1.0")
    draw = np.random.default_rng(0)
    cohort = [
        RehearsalPerson(f"p{i}", "", i % 3, draw.normal(i % 3 - 1.0, 0.4, size=(3, 10, 2)).astype(np.float32))
        for i in range(24)
    ]
    run = RehearsalRun("s0-all", data, frozenset(person.person for person in cohort))
    bundle = repeat(run, {"a": cohort[:12], "b": cohort[12:]}, provider, lambda _: None)
    again = ModelBundle.from_bytes(bundle.to_bytes())
    told = np.array([again.predict_person(person.windows)[0] for person in cohort])
    truth = np.array([0.0, 1.0, 3.0])[[person.class_index for person in cohort]]
    scores = severity_score(truth, [told])
    assert scores.mean_absolute_error.value < 0.6 * scores.chance
    assert scores.rank_correlation.value > 0.8
    assert scores.rank_correlation.low < scores.rank_correlation.value < scores.rank_correlation.high
    extreme = again.predict(np.full((1, 10, 2), 1e6, dtype=np.float32))
    assert 0.0 <= float(extreme[0, 0]) <= 3.0


def test_a_site_tells_a_noised_table_of_grades_and_nothing_else(tmp_path: Path) -> None:
    held_out = people(40, "h")
    site = Site(Ledger(tmp_path / "ledger.sqlite"), data=STUDY, people=SiteDataset(people(6, "t"), held_out))
    reply = run_round(site, site.order(2), site.model().weights)
    assert reply.report.status == "trained", reply.report.message
    names = {f"grade.{own}.{judged}" for own in range(3) for judged in range(3)}
    assert set(reply.metrics) == {*names, "noise_std"}
    prices = plan(parse_study(STUDY))
    assert prices.evaluate is not None
    # Each patient is in one cell: the noise is that of a sensitivity of 1.
    assert reply.metrics["noise_std"] == prices.evaluate.noise_multiplier
    assert decode_reply(encode_reply(reply)).metrics == reply.metrics
    total = sum(reply.metrics[name] for name in names)
    assert total == pytest.approx(40, abs=5 * 3 * reply.metrics["noise_std"])
    foreign = {**reply.metrics, "grade.0.100": 1.0}
    with pytest.raises(GaitkeeperError):
        decode_reply(encode_reply(type(reply)(reply.report, None, foreign)))


@given(hnp.arrays(np.int64, (3, 3), elements=st.integers(0, 6)).filter(lambda a: a.sum() > 3))
def test_scores_of_a_table_are_those_of_its_people(table: IntArray) -> None:
    values = np.array([0.0, 1.0, 3.0])
    own, judged = (np.repeat(place.ravel(), table.ravel()) for place in np.indices((3, 3)))
    found = scores_of(table.astype(np.float64), values)
    assert found.mean_absolute_error == pytest.approx(np.abs(values[own] - values[judged]).mean())
    expected = rank_correlation(values[own], values[judged])
    assert found.rank_correlation == pytest.approx(expected, abs=1e-9)
    if np.ptp(own) and np.ptp(judged):
        assert expected == pytest.approx(float(spearmanr(own, judged).statistic))


def test_tables_drowned_in_noise_are_withheld() -> None:
    def outcome(site: str, noise: float) -> SiteOutcome:
        cells = {f"grade.{own}.{judged}": 4.0 if own == judged else 0.0 for own in range(2) for judged in range(2)}
        return SiteOutcome(site, Outcome.INCLUDED, metrics={**cells, "noise_std": noise})

    clear = grade_scores([outcome("a", 0.1), outcome("b", 0.1)], (0.0, 2.0))
    assert clear is not None
    assert clear.mean_absolute_error == 0
    assert clear.rank_correlation == pytest.approx(1.0)
    assert grade_scores([outcome("a", 3.0), outcome("b", 3.0)], (0.0, 2.0)) is None
    assert grade_scores([SiteOutcome("a", Outcome.INCLUDED, metrics={})], (0.0, 2.0)) is None
