"""A site's own head: better for its patients or not kept, sealed in the vault, in no byte that leaves."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.vault_fixtures import everything, facts_of, make_recording, make_site, someone

from gaitkeeper_client.consortium.policy import default_policy
from gaitkeeper_client.insight.deployed import released_findings
from gaitkeeper_client.training.dataset import Person
from gaitkeeper_client.training.home_runtime import HomeRuntime
from gaitkeeper_client.training.personal import fit_head
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.check import check_records
from gaitkeeper_client.vault.consent import Consent
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.personal import (
    HeadFacts,
    PersonalHead,
    drop_head,
    drop_stale_head,
    has_head,
    holdings,
    keep_head,
    kept_head,
    sources_of,
    usable_head,
)
from gaitkeeper_client.vault.retention import RetentionPolicy, apply_retention
from gaitkeeper_client.vault.rotation import rotate_key
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import encode_reply, order_for, to_wire
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.recording import Recording, Signals
from gaitkeeper_shared.study import Study, parse_study, study_hash
from gaitkeeper_shared.trust.audit import AuditLog

ROOT = Path(__file__).resolve().parents[2] / "client/gaitkeeper_client"
CHANNELS = ("hip_flexion_left", "hip_flexion_right", "pelvis_speed")
STUDY = b"""
name = "personal-test"
[task]
labels = ["healthy", "ill"]
[input]
channels = ["hip_flexion_left", "hip_flexion_right", "pelvis_speed"]
rate_hz = 10.0
window_s = 1.0
[model]
kind = "symmetry"
personal = "head"
[training]
rounds = 2
[privacy]
epsilon = 8.0
delta = 1e-2
clip_norm = 0.5
sample_rate = 0.5
patients_per_site = 8
"""
SHA = "ab" * 32


def release() -> ModelBundle:
    spec = ModelSpec.of(parse_study(STUDY), study_hash(STUDY))
    weights = {name: np.zeros_like(array) for name, array in ModelBundle.initial(spec).weights.items()}
    return ModelBundle(spec, weights)


def people(count: int, apart: float, seed: int = 0) -> tuple[Person, ...]:
    draw = np.random.default_rng(seed)
    rows = [(i % 2, draw.normal(apart * (i % 2), 1.0)) for i in range(count)]
    return tuple(
        Person(f"p{i}", label, np.full((2, 10, 3), speed, dtype=np.float32) * np.array([0, 0, 1], dtype=np.float32))
        for i, (label, speed) in enumerate(rows)
    )


def walk(speed: float, seed: int) -> Recording:
    """A recording of random points, whose channels say a walking speed and nothing else."""
    plain = make_recording(seed)
    values = np.zeros((plain.signals.time_s.size, 3), dtype=np.float32)
    values[:, 2] = 1.2 + 0.6 * speed
    signals = Signals(plain.signals.time_s, CHANNELS, values)
    return Recording(plain.trajectories, plain.events, signals, plain.source, plain.quality)


class Runtime(HomeRuntime):
    """The runtime of a home, of a site whose approval is not what is tested."""

    def approved_study(self, study_hash: str) -> Study:
        return parse_study(STUDY)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiteHome, SiteKey]:
    home, key = make_site(tmp_path_factory.mktemp("personal") / "site")
    home.policy_file.write_bytes(default_policy())
    draw = np.random.default_rng(1)
    with Vault.open(home, key) as vault:
        for i in range(16):
            facts = someone(f"patient-{i}", label=("healthy", "ill")[i % 2])
            vault.add(facts, walk(float(draw.normal(3.0 * (i % 2), 0.7)), i), facts_of(i))
    return home, key


@pytest.mark.long
def test_a_head_is_better_where_there_is_something_to_learn_and_says_so_where_there_is_not() -> None:
    fitted = fit_head(release(), people(30, 3.0))
    assert fitted.better
    assert fitted.loss_after < 0.7 * fitted.loss_before
    assert set(fitted.weights) == {"head.weight", "head.bias"}
    nothing = fit_head(release(), people(30, 0.0, 3))
    assert nothing.loss_after > 0.95 * nothing.loss_before


@pytest.mark.parametrize(("group", "study", "code"), [(9, STUDY, "personal-too-few"), (30, b"", "")])
def test_too_few_patients_and_studies_that_foresee_none_are_refused(group: int, study: bytes, code: str) -> None:
    bundle = release()
    if not study:
        spec = ModelSpec.from_json({**bundle.spec.to_json(), "personal": "none"})
        bundle, code = ModelBundle(spec, bundle.weights), "personal-not-foreseen"
    with pytest.raises(GaitkeeperError) as error:
        fit_head(bundle, people(group, 3.0))
    assert error.value.code == code


def test_it_is_sealed_used_for_findings_and_in_no_byte_that_leaves(site: tuple[SiteHome, SiteKey]) -> None:
    home, key = site
    runtime = Runtime(home, key)
    members = runtime.everybody(parse_study(STUDY))
    fitted = fit_head(release(), members)
    assert fitted.better
    with Vault.open(home, key) as vault:
        names = tuple(p.pseudonym for p in members)
        sources = sources_of(holdings(vault), names)
        facts = HeadFacts(SHA, names, "2026-01-01T00:00:00+00:00", 0.7, fitted.loss_after, sources)
        keep_head(home, vault, PersonalHead(facts, fitted.weights))
    head = usable_head(home, key, SHA)
    assert head is not None
    np.testing.assert_array_equal(head.weights["head.weight"], fitted.weights["head.weight"])
    assert usable_head(home, key, "cd" * 32) is None
    # Two neighbouring numbers of the head: eight bytes that come up by chance nowhere.
    raw = np.concatenate([array.ravel() for array in fitted.weights.values()]).astype("<f4")
    traces = [raw[place : place + 2].tobytes() for place in range(raw.size - 1)]
    assert not any(trace in everything(home) for trace in traces)
    left = b""
    for number in (1, 2, 3):
        order = order_for(parse_study(STUDY), study_hash(STUDY), "r1", number)
        reply = run_round(runtime, order, release().weights)
        assert reply.report.status in ("trained", "evaluated"), reply.report.message
        for record in to_wire(encode_reply(reply)).values():
            left += b"".join(v if isinstance(v, bytes) else repr(v).encode() for v in dict(record).values())
    assert len(left) > 500
    assert not any(trace in left for trace in (*traces, *(name.encode() for name in names)))


def test_nothing_that_talks_to_others_knows_of_it() -> None:
    """Who may: the command that makes it, findings, and whatever takes something from a patient's part in it."""
    users = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "gaitkeeper_client.vault.personal":
                users.add(str(path.relative_to(ROOT)))
    drop_it = {"vault/erasure.py", "vault/retention.py", "vault/rotation.py", "cli/site_consent.py"}
    assert users == {"cli/site_personal.py", "insight/deployed.py", "vault/check.py", *drop_it}


def keep(home: SiteHome, vault: Vault, of: Collection[str]) -> tuple[str, ...]:
    """Keep some head that was fitted to patients, by their clinic's identifiers; their pseudonyms."""
    names = tuple(vault.named(name).pseudonym for name in of)
    weights = {"head.weight": np.ones((2, 2), np.float32), "head.bias": np.zeros(2, np.float32)}
    facts = HeadFacts(SHA, names, "2026-01-01T00:00:00+00:00", 1.0, 0.5, sources_of(holdings(vault), names))
    keep_head(home, vault, PersonalHead(facts, weights))
    return names


def dropped(home: SiteHome) -> list[str]:
    return [str(e.facts["why"]) for e in AuditLog(home.audit_log).entries() if e.event == "personal-head-dropped"]


def test_it_is_gone_once_anything_is_that_it_was_fitted_to(tmp_path: Path) -> None:
    """Erasure, withdrawal, a recording past its time, a new key: each removes it from the disk, and says so."""
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        for i in range(6):
            old = "2001-01-01T00:00:00+00:00" if i == 3 else None
            facts = replace(facts_of(i), recorded_at=old)
            vault.add(someone(f"patient-{i // 2}", label="ill"), walk(1.0, i), facts)
        vault.add(someone("patient-9", label="ill"), walk(1.0, 9), facts_of(9))
        keep(home, vault, ["patient-0", "patient-1", "patient-2"])
        assert usable_head(home, key, SHA) is not None

        erase(home, vault, "patient-9")  # who was not in it
        assert usable_head(home, key, SHA) is not None
        erase(home, vault, "patient-0")
        assert not has_head(home)

        keep(home, vault, ["patient-1", "patient-2"])
        apply_retention(home, vault, RetentionPolicy(days=9000))  # one of two recordings of patient-1
        assert not has_head(home)

        keep(home, vault, ["patient-1", "patient-2"])
        consent = Consent(frozenset({"care"}), frozenset({"training"}))
        vault.set_consent(vault.named("patient-2").pseudonym, consent)
        assert usable_head(home, key, SHA) is None  # at once, whoever withdrew it and how
        assert drop_stale_head(home, vault)
        keep(home, vault, ["patient-1"])
    fresh = rotate_key(home, key, None)
    with Vault.open(home, fresh) as vault:
        assert not has_head(home)
        keep(home, vault, ["patient-1"])
        stale = (home.vault / "personal-head.sealed").read_bytes()
    last = rotate_key(home, fresh, None)
    (home.vault / "personal-head.sealed").write_bytes(stale)  # as a kill in the middle of a rotation leaves it
    with Vault.open(home, last) as vault:
        assert kept_head(home, vault) is None
        assert drop_stale_head(home, vault)
        keep(home, vault, ["patient-1"])
        damaged = bytearray((home.vault / "personal-head.sealed").read_bytes())
        damaged[-1] ^= 1
        (home.vault / "personal-head.sealed").write_bytes(bytes(damaged))
        with pytest.raises(GaitkeeperError, match="its seal does not hold"):
            kept_head(home, vault)
        assert [damage.what for damage in check_records(home, last)] == ["personal head"]
        assert drop_stale_head(home, vault)
        assert not check_records(home, last)
    assert len(dropped(home)) == 7
    assert not drop_head(home, "again")


@pytest.mark.parametrize("change", ["erased", "withdrawn", "further", "recorded"])
def test_what_changes_while_it_is_fitted_keeps_it_from_being_kept(tmp_path: Path, change: str) -> None:
    home, key = make_site(tmp_path / "site")
    with Vault.open(home, key) as vault:
        for i in range(3):
            vault.add(someone(f"patient-{i}", label="ill"), walk(1.0, i), facts_of(i))
        names = tuple(patient.pseudonym for patient in vault.patients())
        facts = HeadFacts(SHA, names[:2], "now", 1.0, 0.5, sources_of(holdings(vault), names[:2]))
        if change == "erased":
            erase(home, vault, "patient-1")
        elif change == "withdrawn":
            vault.set_consent(names[1], Consent(frozenset({"care"}), frozenset({"training"})))
        elif change == "recorded":
            vault.add(someone("patient-1", label="ill"), walk(2.0, 7), facts_of(7))
        else:
            erase(home, vault, "patient-2")  # who has no part in it
        head = PersonalHead(facts, {"head.weight": np.ones((2, 2), np.float32), "head.bias": np.zeros(2, np.float32)})
        if change == "further":
            keep_head(home, vault, head)
            return
        with pytest.raises(GaitkeeperError) as error:
            keep_head(home, vault, head)
        assert error.value.code == "personal-people-changed"
        assert not has_head(home)


def test_findings_say_whose_head_it_was(site: tuple[SiteHome, SiteKey]) -> None:
    from tests.unit.insight_fixtures import analysis_of, walk_recording

    from gaitkeeper_shared.trust.release import Manifest

    bundle = release()
    manifest = Manifest(
        study="personal-test",
        study_hash=bundle.spec.study_hash,
        version=3,
        model_sha256=SHA,
        model_size=1,
        created_at="2026-01-01T00:00:00Z",
        notes="",
    )
    analysis, data = analysis_of(walk_recording(42)), bundle.to_bytes()
    before = released_findings(analysis, manifest, data, None)
    weights = {"head.weight": np.zeros((2, 2), np.float32), "head.bias": np.array([-3.0, 3.0], np.float32)}
    head = PersonalHead(HeadFacts(SHA, ("p-1", "p-2"), "now", 1.0, 0.5, ()), weights)
    after = released_findings(analysis, manifest, data, None, head)
    assert [item.probability for item in before.probabilities] == pytest.approx([0.5, 0.5])
    assert after.probabilities[0].label == "ill"
    assert after.model is not None
    assert after.model.personal_people == 2
    assert any("2 patients of this site alone" in limit for limit in after.limits)


def test_the_command_refuses_without_a_release_and_drops_what_is_there(site: tuple[SiteHome, SiteKey]) -> None:
    from typer.testing import CliRunner

    from gaitkeeper_client.cli.site import app

    home, key = site
    with pytest.raises(GaitkeeperError) as error:
        CliRunner().invoke(app, ["personalise", "--home", str(home.path)], catch_exceptions=False)
    assert error.value.code == "personal-no-release"
    with Vault.open(home, key) as vault:
        keep(home, vault, ["patient-1"])
    told = CliRunner().invoke(app, ["personalise", "--drop", "--json", "--home", str(home.path)])
    assert (told.exit_code, told.stdout.split()) == (0, ["{", '"dropped":', "true", "}"])
    assert not has_head(home)
