"""Numbers of a recording that tell a label by themselves are found; drifting heights do not reach the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.vault_fixtures import facts_of, make_recording, make_site, someone

from gaitkeeper_client.vault.artefacts import artefacts, artefacts_of
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.kinematics import sagittal_plane
from gaitkeeper_shared.models.channels import CHANNELS, feature_signals, height_drift
from gaitkeeper_shared.recording import Recording
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk


def test_a_number_that_separates_labels_is_found_in_a_vault_and_counts_patients(tmp_path: Path) -> None:
    home, key = make_site(tmp_path / "site")
    draw = np.random.default_rng(0)
    with Vault.open(home, key) as vault:
        for i in range(16):
            for walk in range(2):
                seed, ill = 100 * i + walk, bool(i % 2)
                plain = make_recording(seed)
                quality = {"sample_rate_hz": 60.0, "duration_s": float(draw.normal(5, 1)), "view": "side"}
                quality["height_drift_leg_lengths"] = float(draw.normal(0.07 if ill else 0.0, 0.005))
                kept = Recording(plain.trajectories, plain.events, plain.signals, plain.source, quality)
                vault.add(someone(f"patient-{i}", label="ill" if ill else "healthy"), kept, facts_of(seed))
        found = artefacts_of(vault)
    assert [(item.number, item.label, item.area) for item in found] == [("height_drift_leg_lengths", "healthy", 1.0)]
    assert "median" in found[0].words
    assert found[0].p_value == pytest.approx(2 / 12870)  # exact: two of the ways to choose 8 of 16


@given(seed=st.integers(0, 10_000), labels=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_numbers_that_have_nothing_to_do_with_labels_are_rarely_accused(seed: int, labels: int) -> None:
    draw = np.random.default_rng(seed)
    own = [f"label-{i % labels}" for i in range(24)]
    numbers = [{f"n{k}": float(draw.normal()) for k in range(6)} for _ in own]
    assert len(artefacts(own, numbers)) <= 1


def test_few_people_and_missing_numbers_say_nothing() -> None:
    assert artefacts(["a"] * 3 + ["b"] * 9, [{"n": float(i < 3)} for i in range(12)]) == ()
    assert artefacts(["a"] * 6 + ["b"] * 6, [{"n": float(i)} if i % 6 < 3 else {} for i in range(12)]) == ()


@given(seed=st.integers(0, 500), rise=st.floats(-0.1, 0.1))
@settings(max_examples=8, deadline=None)
def test_a_drift_of_all_heights_is_measured_and_does_not_reach_the_features(seed: int, rise: float) -> None:
    walk = Walk(draw_patient("p", "healthy", seed), 6.0)
    time_s = np.arange(0.5, 5.5, 1 / 60)
    points = sagittal_plane(walk.positions(time_s), (1.0, 0.0))
    drifted = points.copy()
    drifted[:, :, 1] += rise * np.linspace(0.0, 1.0, time_s.size)[:, None]
    spreads = np.array([channel.spread for channel in CHANNELS])
    before, after = (feature_signals(time_s, place).values / spreads for place in (points, drifted))
    np.testing.assert_allclose(after, before, atol=2e-3)
    leg = (height_drift(time_s, drifted) - height_drift(time_s, points)) / rise if abs(rise) > 0.01 else 1.0
    assert 0.5 < leg < 2.0  # in leg lengths, of about a metre
