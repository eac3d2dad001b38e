"""A rehearsal with the real ServerApp, ClientApp and simulation engine, on people who differ plainly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rounds_fixtures import ScriptedGrid

from gaitkeeper_client.training.rehearsal import RehearsalRuntime, provider
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_server.pretraining.start import first_weights
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.engine import STARTS, simulate
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.rehearsal import rehearse
from gaitkeeper_server.rounds.rehearsal_plan import (
    PlannedRehearsal,
    RehearsalOptions,
    plan_rehearsal,
    rehearsal_study,
    stratified,
)
from gaitkeeper_server.rounds.rehearsal_repeat import repeat
from gaitkeeper_server.rounds.rehearsal_score import auc, balanced_accuracy, score
from gaitkeeper_server.rounds.roster import Presence
from gaitkeeper_server.rounds.states import RunState
from gaitkeeper_server.rounds.trained import trained_bundle
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.rehearsal import RehearsalPerson
from gaitkeeper_shared.study import parse_study, study_hash

STUDY = b"""
name = "rehearsal-test"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["knee_flexion_left", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
hidden = 6
[training]
rounds = 8
learning_rate = 1.0
average = 0.5
[privacy]
epsilon = 8.0
delta = 1e-2
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 12
"""


def people(count: int, prefix: str, sites: tuple[str, ...] = ("",), apart: float = 1.5) -> list[RehearsalPerson]:
    random = np.random.default_rng(len(prefix))
    return [
        RehearsalPerson(
            f"{prefix}{i:02d}",
            sites[i % len(sites)],
            i % 2,
            (random.normal(size=(4, 10, 2)) * 0.3 + apart * (2 * (i % 2) - 1)).astype(np.float32),
        )
        for i in range(count)
    ]


class SlowToStart:
    """Ray as on a machine that is busy just then: its first ``failures`` starts time out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        import ray

        self.start, self.failures, self.tries = ray.init, failures, 0
        monkeypatch.setattr(ray, "init", self)

    def __call__(self, **options: object) -> object:
        self.tries += 1
        if self.tries <= self.failures:
            raise RuntimeError("Timed out waiting for file gcs_server_port")
        return self.start(**options)


def test_an_engine_that_never_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp

    ray = SlowToStart(monkeypatch, failures=99)
    with pytest.raises(GaitkeeperError, match="Timed out") as caught:
        simulate(ServerApp(), ClientApp(), 1)
    assert (caught.value.code, ray.tries) == ("rehearsal-failed", STARTS)


@pytest.mark.slow
def test_it_learns_pays_and_reports_on_the_real_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SlowToStart(monkeypatch, failures=STARTS - 1)
    seen: list[tuple[int, int]] = []
    data = STUDY.replace(b"rounds = 8", b"rounds = 4")
    study = parse_study(data)
    # The noise has no seed. So many people, so far apart, were sorted without an error in 800 repetitions of 800; of
    # half as many, half as far apart, every fifth repetition had an area below 0.9.
    cohort, unseen = people(48, "p", apart=3.0), people(10, "new", apart=3.0)
    report = rehearse(study, data, provider, cohort, unseen, RehearsalOptions(2, 2, 1), lambda *n: seen.append(n))
    assert seen[-1] == (12, 12)
    assert ray.tries == STARTS
    assert report.sites == {"site-1": 24, "site-2": 24}
    assert 7.0 < report.epsilon <= 8.0
    assert report.noise_multiplier > 0.5
    assert report.cross_validation is not None
    assert report.cross_validation.people == 48
    assert report.cross_validation.auc.value > 0.9
    assert report.holdout is not None
    assert report.holdout.people == 10
    assert report.holdout.auc.value > 0.9
    assert report.bundle.spec.study_hash == study_hash(data)
    json.dumps(report.bundle.spec.to_json())


EXACT = (
    STUDY.replace(b"sample_rate = 0.5", b"sample_rate = 1.0")
    .replace(b"rounds = 8", b'rounds = 5\nstrategy = "fedadam"\ncalibration = 2')
    .replace(b"hidden = 6", b'hidden = 6\nadapter_rank = 1\ntrained = ["adapters", "head"]')
)
"""An optimiser at the coordinator, adapters and rounds that calibrate, so that the journal holds all of these. Without
noise, and with everybody drawn, nothing is random: a seed's run and its repetition must agree."""


def repeated() -> tuple[PlannedRehearsal, ModelBundle]:
    """A plan without privacy, and its one run by the short way of further seeds."""
    options = RehearsalOptions(2, 0, 1, privacy=False)
    planned = plan_rehearsal(parse_study(EXACT), EXACT, people(13, "p", ("north", "south")), options)
    return planned, repeat(planned.plan.runs[0], planned.plan.sites, provider, lambda _: None)


def test_a_repetition_is_the_arithmetic_of_conductor_and_sites_bit_for_bit(tmp_path: Path) -> None:
    """The real conductor and journal, and the real code of a rehearsed site, without an engine between them."""
    planned, again = repeated()
    (run,) = planned.plan.runs
    journal = Journal(tmp_path / "journal.sqlite")
    journal.request_run(run.name, run.study, tuple(planned.plan.sites))
    spec = ModelSpec.of(parse_study(run.study), study_hash(run.study))
    journal.set_initial_weights(run.name, first_weights(spec, None))
    folder = tmp_path / "people"
    folder.mkdir()
    provider.client_app(planned.plan, folder)  # writes what the sites read
    grid = ScriptedGrid(
        lambda site, order, weights: run_round(RehearsalRuntime(folder, site, order.run), order, weights),
        {site: Presence(number + 10, "t0") for number, site in enumerate(planned.plan.sites)},
    )
    conductor = Conductor(grid, journal, run.name, roster=grid.roster, pace=Pace(poll_s=0.0))  # type: ignore[arg-type]
    assert conductor.conduct() is RunState.SUCCEEDED
    agree(trained_bundle(journal, run.name), again)


@pytest.mark.long
def test_a_repetition_is_the_engines_arithmetic_bit_for_bit() -> None:
    planned, again = repeated()
    cohort, options = people(13, "p", ("north", "south")), RehearsalOptions(2, 0, 1, privacy=False)
    report = rehearse(parse_study(EXACT), EXACT, provider, cohort, [], options, lambda *_: None)
    assert report.sites == {site: len(members) for site, members in planned.plan.sites.items()}
    agree(report.bundle, again)


def agree(found: ModelBundle, again: ModelBundle) -> None:
    for name, array in found.weights.items():
        assert np.array_equal(array, again.weights[name])
    untrained = ModelBundle.initial(again.spec)
    assert not np.array_equal(untrained.weights["head.weight"], again.weights["head.weight"])


def test_further_seeds_have_other_noise_and_the_same_people() -> None:
    planned = plan_rehearsal(parse_study(STUDY), STUDY, people(20, "p"), RehearsalOptions(2, 2, 3))
    first, further = planned.split()
    assert [run.name for run in first.runs] == ["s0-f0", "s0-f1", "s0-all"]
    assert len(further.runs) == 6
    assert first.sites is further.sites
    models = [repeat(further.runs[2], further.sites, provider, lambda _: None) for _ in range(2)]
    assert not np.array_equal(models[0].weights["head.weight"], models[1].weights["head.weight"])


def test_shares_of_the_noise_are_made_for_the_studys_quorum() -> None:
    shared = STUDY + b'trust = "distributed"\n[federation]\nquorum = 3\n'
    for sites, noise in ((3, 3), (5, 3)):
        study = parse_study(rehearsal_study(shared, "s0-all", 0, sites, privacy=True))
        assert study.federation.quorum == noise
    assert parse_study(rehearsal_study(STUDY, "s0-all", 0, 5, privacy=True)).federation.quorum == 5


def test_nobody_is_on_both_sides_of_a_split() -> None:
    study, cohort = parse_study(STUDY), people(31, "p")
    planned = plan_rehearsal(study, STUDY, cohort, RehearsalOptions(3, 5, 2))
    runs = {run.name: run for run in planned.plan.runs}
    assert len({study_hash(run.study) for run in planned.plan.runs}) == len(runs) == 12
    for seed in planned.seeds:
        judged: list[str] = []
        for name, test in seed.folds:
            assert not runs[name].people & set(test)
            judged += test
        assert sorted(judged) == sorted(person.person for person in cohort)
        assert runs[seed.whole].people == {person.person for person in cohort}
    assert planned.seeds[0].folds[0][1] != planned.seeds[1].folds[0][1]
    at_sites = [person.person for site in planned.plan.sites.values() for person in site]
    assert sorted(at_sites) == sorted(person.person for person in cohort)


def test_every_site_trains_in_every_fold() -> None:
    """As many folds as sites: dealt alike, each fold would leave one whole site out."""
    planned = plan_rehearsal(parse_study(STUDY), STUDY, people(60, "p"), RehearsalOptions(5, 5, 3))
    for seed in planned.seeds:
        for name, _ in seed.folds:
            run = next(run for run in planned.plan.runs if run.name == name)
            for members in planned.plan.sites.values():
                assert run.people & {person.person for person in members}


def test_the_cohorts_own_sites_are_kept() -> None:
    study = parse_study(STUDY)
    planned = plan_rehearsal(study, STUDY, people(20, "p", ("north", "south")), RehearsalOptions(5, 2, 1))
    assert {site: len(members) for site, members in planned.plan.sites.items()} == {"north": 10, "south": 10}
    with pytest.raises(GaitkeeperError) as error:
        plan_rehearsal(study, STUDY, people(20, "p", ("north", "")), RehearsalOptions(5, 2, 1))
    assert error.value.code == "rehearsal-site-column"


def test_too_few_people_of_a_label_are_refused() -> None:
    with pytest.raises(GaitkeeperError) as error:
        plan_rehearsal(parse_study(STUDY), STUDY, people(8, "p"), RehearsalOptions(3, 5, 1))
    assert error.value.code == "rehearsal-too-few"


def test_a_runs_study_differs_only_where_it_must() -> None:
    study = parse_study(rehearsal_study(STUDY, "s1-f2", 1, 4, privacy=False))
    assert study.name == "rehearsal-test-s1-f2"
    assert study.model.seed == 1
    assert study.evaluation.holdout == 0.0
    assert study.federation.quorum == 4
    assert study.privacy.epsilon == float("inf")
    assert study.training == parse_study(STUDY).training


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(1, 6), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_classes_are_dealt_evenly(classes: list[int], groups: int, seed: int) -> None:
    values = np.array(classes, dtype=np.int64)
    dealt = stratified(values, groups, seed)
    sizes = np.bincount(dealt, minlength=groups)
    assert sizes.max() - sizes.min() <= 1
    for index in set(classes):
        counts = np.bincount(dealt[values == index], minlength=groups)
        assert counts.max() - counts.min() <= 1


def test_scores_are_the_textbooks() -> None:
    classes = np.array([0, 0, 0, 0, 1, 1])
    one = np.array([0.1, 0.2, 0.3, 0.6, 0.55, 0.9])
    probabilities = np.stack([1 - one, one], axis=1)
    assert balanced_accuracy(classes, probabilities) == pytest.approx((3 / 4 + 2 / 2) / 2)
    assert auc(classes, probabilities) == pytest.approx(7 / 8)
    result = score(classes, [probabilities, probabilities], 2)
    assert result.balanced_accuracy.low <= result.balanced_accuracy.value <= result.balanced_accuracy.high
    assert result.chance == 0.5
    assert score(classes, [np.full((6, 2), 0.5)], 2).auc.value == 0.5


def test_few_people_all_judged_right_do_not_look_certain() -> None:
    classes = np.array([0] * 4 + [1] * 4)
    sure = np.eye(2)[classes]
    result = score(classes, [sure], 2)
    assert (result.balanced_accuracy.value, result.auc.value) == (1.0, 1.0)
    assert result.balanced_accuracy.low < 0.9
    assert result.auc.low < 0.9
    assert result.auc.high == 1.0
    many = score(np.repeat(classes, 50), [np.repeat(sure, 50, axis=0)], 2)
    assert many.balanced_accuracy.low > 0.98
    assert many.auc.low > 0.97


def test_the_auc_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(1), 0
    classes = np.array([0] * 12 + [1] * 20)
    for _ in range(300):
        chance = 1 / (1 + np.exp(-(random.normal(size=32) + classes)))
        interval = score(classes, [np.stack([1 - chance, chance], axis=1)], 2).auc
        covered += interval.low <= 0.7602 <= interval.high  # Phi(1 / sqrt 2), the area for two Gaussians 1 sd apart
    assert covered / 300 > 0.91


def test_a_missing_cohort_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GaitkeeperError) as error:
        provider.load(tmp_path / "none.csv", parse_study(STUDY), lambda *_: None)
    assert error.value.exit_status == 2
