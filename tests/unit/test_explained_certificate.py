"""The tests of explanations notice a bad one, and what they found is kept, shown and never silently missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from vault_fixtures import make_site

from gaitkeeper_client.explained import at_site, curves, mapping
from gaitkeeper_client.explained import certify as certification
from gaitkeeper_client.explained import planted as planted_defects
from gaitkeeper_client.explained.at_site import certify_active
from gaitkeeper_client.explained.certify import certify, run_checks
from gaitkeeper_client.explained.curves import curve_result
from gaitkeeper_client.explained.maps import heat, quarters, replaced
from gaitkeeper_client.explained.planted import planted
from gaitkeeper_client.explained.walks import Sample, sample_of, simulated_walk
from gaitkeeper_client.gait.pipeline import nobody
from gaitkeeper_client.insight.attribution import log_odds_of
from gaitkeeper_client.insight.certificate import Certificate, certificate_of, sentence
from gaitkeeper_client.insight.certificate_view import certificate_view, view_of
from gaitkeeper_client.insight.certificates import digest_of, keep_certificate, read_certificate
from gaitkeeper_client.insight.deployed import DeployedModel
from gaitkeeper_client.insight.findings import (
    DeletionCheck,
    Explanation,
    Findings,
    HeatmapRow,
    LabelProbability,
    findings_of,
)
from gaitkeeper_client.insight.report import render_report
from gaitkeeper_client.insight.rescaling import rank_correlation, relevance
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle, weights_of
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME, CHANNELS, FORCE_CHANNELS
from gaitkeeper_shared.models.registry import GaitModel
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import Input

CHANNELS_READ = tuple(channel.name for channel in CHANNELS)
INPUT = Input(channels=CHANNELS_READ)
SECONDS = 6.0


@cache
def trained() -> ModelBundle:
    """A small convolutional model that tells a hemiparetic walk from a healthy one."""
    spec = ModelSpec("tcn", 8, 1, 0, "all", INPUT, ("healthy", "hemiparetic"), "0" * 64)
    samples = [sample_of(simulated_walk(label, 20, SECONDS), INPUT) for label in ("healthy", "hemiparetic")]  # type: ignore[arg-type]
    windows = torch.from_numpy(np.concatenate([one.windows for one in samples if one is not None]))
    targets = torch.arange(2).repeat_interleave(windows.shape[0] // 2)
    torch.manual_seed(0)
    model = ModelBundle.initial(spec).module().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(windows), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return ModelBundle(spec, weights_of(model))


@pytest.fixture(scope="module")
def sample() -> Sample:
    found = sample_of(simulated_walk("hemiparetic", 0, SECONDS), INPUT)
    assert found is not None
    return found


@pytest.fixture(scope="module", autouse=True)
def fewer_walks() -> Iterator[None]:
    """Fewer walks, defects and draws, and two healthy walkers to compare with: what is tested here is the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certification, "WALKS", (("healthy", 0), ("hemiparetic", 0)))
        patch.setattr(certification, "MARGIN_S", SECONDS - INPUT.window_s)
        patch.setattr(mapping, "HEALTHY_WALKERS", 2)
        patch.setattr(planted_defects, "MOST", 4)
        patch.setattr(curves, "DRAWS", 4)
        yield


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return certify(trained(), "ab" * 32)


def test_a_model_that_looks_where_its_heatmap_points_passes(certificate: Certificate) -> None:
    by_name = {check.name: check for check in certificate.checks}
    assert certificate.status == "passed", [sentence(check) for check in certificate.failed]
    assert by_name["planted"].value > 2 * by_name["planted"].compared
    assert by_name["deletion"].value < by_name["deletion"].compared
    assert by_name["insertion"].value > by_name["insertion"].compared
    assert abs(by_name["randomised"].value) < by_name["stable"].value
    assert by_name["spm"].decisive is False
    assert all(str(check.count) in sentence(check) for check in certificate.checks)


def shuffled(model: GaitModel, sample: Sample, label: int) -> FloatArray:
    cells = heat(model, sample, label)
    return np.random.default_rng(int(abs(cells.sum()) * 1e6)).permutation(cells.ravel()).reshape(cells.shape)


def test_a_bad_explanation_of_the_same_model_fails() -> None:
    bundle = trained()
    checks, _ = run_checks(bundle, bundle.module(), lambda _: None, shuffled)
    assert {"located", "faithful", "stable"} <= {check.name for check in checks if check.decisive and not check.passed}


def test_a_planted_defect_changes_one_joint_in_one_quarter(sample: Sample) -> None:
    for row, (joint, side) in enumerate(sample.placement.rows):
        change = planted(sample, row, 2, -1).windows - sample.windows
        touched = {CHANNELS_READ[index] for index in np.flatnonzero(np.abs(change).sum(axis=(0, 1)))}
        assert len(touched) == 1
        channel = CHANNEL_BY_NAME[next(iter(touched))]
        assert (channel.joint, channel.side) == (joint, side)
        index = CHANNELS_READ.index(next(iter(touched)))
        bins = sample.placement.bins[..., index][change[..., index] != 0.0]
        assert bins.min() >= 10
        assert bins.max() < 15


def test_replacing_everything_gives_the_reference_and_nothing_the_walk(sample: Sample) -> None:
    everything = np.ones((len(sample.placement.rows), 20))
    assert np.array_equal(replaced(sample, everything).windows, sample.reference)
    assert np.array_equal(replaced(sample, 0 * everything).windows, sample.windows)


def test_the_right_order_deletes_faster_than_its_reverse(sample: Sample) -> None:
    model = trained().module()
    cells = heat(model, sample, 1)
    right, wrong = curve_result(model, sample, 1, cells), curve_result(model, sample, 1, -cells)
    assert right is not None
    assert wrong is not None
    assert right.deletion < right.random_deletion < wrong.deletion
    assert right.insertion > right.random_insertion > wrong.insertion
    assert right.faithful == pytest.approx(-wrong.faithful)
    assert quarters(cells).sum() == pytest.approx(cells.sum())


def test_releases_without_a_heatmap_are_told_apart_from_failed_ones() -> None:
    force = Input(channels=tuple(channel.name for channel in FORCE_CHANNELS))
    spec = ModelSpec("lstm", 4, 1, 0, "all", force, ("a", "b"), "0" * 64)
    found = certify(ModelBundle.initial(spec), "ab" * 32)
    assert (found.status, found.checks) == ("not-applicable", ())
    assert "reference walk" in view_of(found).verdict
    severe = dataclasses.replace(trained().spec, values=(0.0, 1.0))
    assert "severity" in certify(ModelBundle.initial(severe), "ab" * 32).reason


def test_a_certificate_is_kept_for_its_weights_and_its_version_alone(tmp_path: Path, certificate: Certificate) -> None:
    home, _ = make_site(tmp_path / "site")
    digest = digest_of(trained())
    made = dataclasses.replace(certificate, sha256=digest)
    assert read_certificate(home, digest) is None
    with pytest.raises(GaitkeeperError, match="No release is active"):
        certify_active(home)
    path = keep_certificate(home, made)
    assert read_certificate(home, digest) == made
    other = ModelBundle(trained().spec, {name: array + 1e-3 for name, array in trained().weights.items()})
    assert read_certificate(home, digest_of(other)) is None
    keep_certificate(home, dataclasses.replace(made, software="0.0.0"))
    assert read_certificate(home, digest) is None
    path.write_bytes(b"{")
    assert read_certificate(home, digest) is None
    with pytest.raises(ValueError, match="schema"):
        certificate_of({"schema": "another"})


def test_what_failed_or_was_never_tested_stands_out(certificate: Certificate) -> None:
    explanation = Explanation(
        "a",
        (HeatmapRow("knee", "left", (0.1,) * 20, (None,) * 20),),
        (),
        1.0,
        0.0,
        0.0,
        1.0,
        3,
        DeletionCheck(1.0, 0.1, 20),
    )
    scores = (LabelProbability("a", 0.9, None, None), LabelProbability("b", 0.1, None, None))
    found = Findings(
        "decided", None, 3, scores, "a", 1.0, explanations=(explanation,), spread="none", certificate=certificate
    )
    assert findings_of(found.to_json()).certificate is not None
    shown = certificate_view(found)
    assert shown is not None
    assert not shown.warning
    bad = tuple(dataclasses.replace(check, passed=False) for check in certificate.checks)
    failed = view_of(dataclasses.replace(certificate, status="failed", checks=bad))
    assert failed.warning
    assert "FAILED 8 of 8" in failed.verdict
    page = render_report(
        nobody({}),
        dataclasses.replace(found, certificate=dataclasses.replace(certificate, status="failed", checks=bad)),
    )
    assert page.count("FAILED 8 of 8") == 2
    missing = certificate_view(dataclasses.replace(found, certificate=None))
    assert missing is not None
    assert missing.warning
    assert "site certify" in missing.verdict
    assert certificate_view(Findings("decided")) is None


def test_a_rank_correlation_of_a_constant_is_none_at_all() -> None:
    assert rank_correlation(np.zeros((2, 3)), np.arange(6.0).reshape(2, 3)) == 0.0


class OneMoment(torch.nn.Module):
    """Reads the left knee in one stretch of the window, and nothing else."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        seen = windows[:, 20:25, CHANNELS_READ.index("knee_flexion_left")].sum(dim=1)
        return torch.stack([-torch.tanh(seen), torch.tanh(seen)], dim=1)


def test_rescaling_points_at_the_moment_and_the_joint_that_a_model_reads(sample: Sample) -> None:
    odds = log_odds_of(OneMoment(), 1)
    one = Sample(sample.windows[2:3], sample.starts_s[2:3], INPUT, sample.events)  # the first begins before a cycle
    found = relevance(odds, one.windows, one.reference, one.placement)
    assert found.min() >= 0.0
    knee = found[0, :, CHANNELS_READ.index("knee_flexion_left")]
    assert found.sum() == pytest.approx(knee.sum())
    assert set(np.flatnonzero(knee)) == set(range(20, 25))


def test_a_release_is_tested_once_and_the_command_says_how_it_went(
    tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = make_site(tmp_path / "site")
    tested: list[str] = []

    def failing(_: ModelBundle, sha256: str, **__: object) -> Certificate:
        tested.append(sha256)
        checks = tuple(dataclasses.replace(check, passed=False) for check in certificate.checks)
        return dataclasses.replace(certificate, sha256=sha256, status="failed", checks=checks)

    # The release itself, signed and fetched, has tests of its own; so have the tests of explanations above.
    monkeypatch.setattr(at_site, "model_at", lambda *_: DeployedModel(3, trained()))
    monkeypatch.setattr(at_site, "certify", failing)
    assert certify_active(home).new
    assert not certify_active(home).new
    assert certify_active(home, again=True).new
    assert tested == [digest_of(trained())] * 2
    assert home.audit_log.read_text().count("explanations-tested") == 2
    done = CliRunner().invoke(build_command(), ["site", "certify", "--home", str(home.path)])
    assert (done.exit_code, "Release 3" in done.output, "FAILED: " in done.output) == (3, True, True), done.output
