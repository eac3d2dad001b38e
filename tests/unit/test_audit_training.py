"""The audit on the real training code: it stays below the ledger's claim, and it notices every planted fault."""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from gaitkeeper_client.proof import audit as audit_module
from gaitkeeper_client.proof.audit import QUICK, Effort, audit, behind_masks, calibrating, examine
from gaitkeeper_client.proof.canary import Target, observe, target
from gaitkeeper_client.proof.faults import FAULTS, NONE, Fault
from gaitkeeper_client.proof.masking import Consortium
from gaitkeeper_client.proof.page import document, page
from gaitkeeper_client.training import dpsgd
from gaitkeeper_client.training.dpsgd import train_private
from gaitkeeper_shared.cli import build_command
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study import parse_study, study_hash

DATA = (resources.files("gaitkeeper_client.proof") / "default_study.toml").read_bytes()
STEPS = 4


@pytest.fixture(scope="module")
def attacked() -> Target:
    return target(parse_study(DATA), study_hash(DATA))


def test_the_canary_is_as_long_as_the_clip_and_is_what_training_sees(attacked: Target) -> None:
    assert np.linalg.norm(attacked.gradient) == pytest.approx(attacked.steps.clip_norm, rel=1e-4)
    plain = dataclasses.replace(attacked.steps, noise_multiplier=0.0, sample_rate=1.0)
    seen = observe(attacked, 2, present=True, steps=plain).seen
    assert seen == pytest.approx([attacked.steps.clip_norm] * 2, rel=1e-3)
    assert observe(attacked, 2, present=False, steps=plain).seen == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_canary_has_a_label_that_counts_in_full() -> None:
    """A label whose weight the study lowers would show too little: 0.35 of the clip here."""
    weighed = DATA.replace(b"[training]", b"[training]\nclass_weights = [0.35, 1.0]")
    assert weighed != DATA
    chosen = target(parse_study(weighed), study_hash(weighed))
    assert chosen.canary.class_index == 1
    assert np.linalg.norm(chosen.gradient) == pytest.approx(chosen.steps.clip_norm, rel=1e-4)


def test_the_code_as_it_is_stays_below_the_claim(attacked: Target) -> None:
    found = examine(attacked, STEPS, NONE, QUICK.sound)
    assert found.refuted == ()
    assert found.claims[1e-3] == pytest.approx(3.0, abs=0.05)
    assert sorted(found.claims.values(), reverse=True) == list(found.claims.values())


def test_rounds_that_calibrate_stay_below_the_claim_and_without_noise_they_do_not(attacked: Target) -> None:
    found = calibrating(attacked, 250)
    assert [one.refuted for one in found] == [()]
    quiet = dataclasses.replace(attacked.steps, noise_multiplier=1e-3)
    assert calibrating(attacked, 250, steps=quiet)[0].refuted
    plain = parse_study(DATA.replace(b"calibration = 2", b""))
    assert calibrating(target(plain, study_hash(DATA)), 1) == ()


def test_a_severity_can_be_audited_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss is another one; the canary, the clip and what is seen are the same."""
    monkeypatch.setattr(audit_module, "DOUBT", 0.05)
    data = DATA.replace(b'labels = ["healthy", "patient"]', b'kind = "severity"\nlabels = ["a", "b"]\nvalues = [0, 4]')
    data = data.replace(b"calibration = 2", b"").replace(b'kind = "lstm"\nhidden = 4', b'kind = "symmetry"')
    chosen = target(parse_study(data), study_hash(data))
    assert np.linalg.norm(chosen.gradient) == pytest.approx(chosen.steps.clip_norm, rel=1e-4)
    assert examine(chosen, STEPS, FAULTS[0], 160).refuted


@pytest.fixture(scope="module")
def head_alone() -> Target:
    """The same study with a head over fixed features: half the time, and the other way that rows are made in."""
    data = DATA.replace(b'kind = "lstm"\nhidden = 4', b'kind = "symmetry"')
    chosen = target(parse_study(data), study_hash(data))
    assert chosen.model.frozen
    return chosen


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_planted_fault_is_noticed_and_taken_out_again(
    head_alone: Target, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer trials than an audit has, at less confidence: of 150 runs such as these every fault was noticed."""
    monkeypatch.setattr(audit_module, "DOUBT", 0.05)
    before = (dpsgd.patient_gradients, dpsgd.gaussian, dpsgd.PatientOptimizer.add_noise)
    assert examine(head_alone, STEPS, fault, 160).refuted
    assert (dpsgd.patient_gradients, dpsgd.gaussian, dpsgd.PatientOptimizer.add_noise) == before


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_planted_fault_is_noticed_in_a_whole_network_too(attacked: Target, fault: Fault) -> None:
    assert examine(attacked, STEPS, fault, 2 * QUICK.fault).refuted


def test_a_masked_update_tells_nothing_and_an_unmasked_one_everything(attacked: Target) -> None:
    assert behind_masks(attacked, Consortium.fresh(), 30).refuted == ()
    assert behind_masks(attacked, None, 30).refuted


def test_a_fault_that_cannot_be_planted_is_an_error(attacked: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dpsgd, "gaussian")
    again = next(fault for fault in FAULTS if fault.name == "noise-re-used")
    with pytest.raises(GaitkeeperError) as caught:
        examine(attacked, 1, again, 1)
    assert caught.value.code == "audit-fault-not-planted"
    assert train_private is dpsgd.train_private


def test_the_page_tells_what_was_shown_and_what_was_missed() -> None:
    few = Effort(sound=9, fault=6, membership=3, masking=3)  # far too few: the faults stay unnoticed
    done = audit(parse_study(DATA), study_hash(DATA), effort=few)
    assert done.holds
    assert set(done.missed) == {fault.name for fault in FAULTS} | {"masking-off"}
    text, table = page(done), document(done)
    assert json.loads(json.dumps(table))["missed_faults"] == list(done.missed)
    for words in ("Missed: noise-off", "Clopper-Pearson", "masking off", "claimed epsilon"):
        assert words in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_command_audits_a_study_and_fails_where_it_is_blind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaitkeeper_client.proof.audit.QUICK", Effort(sound=6, fault=6, membership=3, masking=3))
    study = tmp_path / "study.toml"
    study.write_bytes(DATA.replace(b"epsilon = 3.0", b"epsilon = inf"))
    command = build_command()
    assert isinstance(command, click.Group)

    def code(*arguments: str) -> str | int:
        result = CliRunner().invoke(command, ["privacy", "audit", *arguments])
        return result.exception.code if isinstance(result.exception, GaitkeeperError) else result.exit_code

    assert code(str(study)) == "audit-no-privacy"
    study.write_bytes(DATA.replace(b"clip_norm = 0.5", b"clip_norm = 1e9"))
    assert code(str(study)) == "audit-no-canary"
    assert code("--quick", "--output", str(tmp_path / "out")) == "audit-blind"
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["holds"] is True
    assert (tmp_path / "out" / "audit.html").exists()
