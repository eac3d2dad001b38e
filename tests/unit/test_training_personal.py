"""A site's own head: better for its patients or not kept, sealed in the vault, in no byte that leaves."""

from __future__ import annotations

import ast
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
from gaitkeeper_client.vault.erasure import erase
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_client.vault.personal import HeadFacts, PersonalHead, drop_head, keep_head, kept_head, usable_head
from gaitkeeper_client.vault.store import Vault
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import encode_reply, order_for, to_wire
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.recording import Recording, Signals
from gaitkeeper_shared.study import Study, parse_study, study_hash

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
    facts = HeadFacts(SHA, tuple(p.pseudonym for p in members), "2026-01-01T00:00:00+00:00", 0.7, fitted.loss_after)
    keep_head(home, key, PersonalHead(facts, fitted.weights))
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
    names = [p.pseudonym.encode() for p in members]
    assert not any(trace in left for trace in (*traces, *names))


def test_nothing_that_talks_to_others_knows_of_it() -> None:
    """Who may: the command that makes it, findings, and erasure."""
    users = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "gaitkeeper_client.vault.personal":
                users.add(str(path.relative_to(ROOT)))
    assert users == {"cli/site_personal.py", "insight/deployed.py", "vault/erasure.py"}


def test_it_is_out_of_use_once_one_of_its_patients_withdraws_and_gone_once_one_is_erased(
    site: tuple[SiteHome, SiteKey],
) -> None:
    home, key = site
    with Vault.open(home, key) as vault:
        pseudonyms = [patient.pseudonym for patient in vault.patients()]
    weights = {"head.weight": np.ones((2, 2), np.float32), "head.bias": np.zeros(2, np.float32)}
    keep_head(home, key, PersonalHead(HeadFacts(SHA, (*pseudonyms, "p-gone"), "now", 1.0, 0.5), weights))
    assert usable_head(home, key, SHA) is None
    keep_head(home, key, PersonalHead(HeadFacts(SHA, tuple(pseudonyms), "now", 1.0, 0.5), weights))
    assert usable_head(home, key, SHA) is not None
    with pytest.raises(GaitkeeperError):
        kept_head(home, SiteKey(b"0" * 32))
    with Vault.open(home, key) as vault:
        erase(home, vault, "patient-3")
    assert kept_head(home, key) is None
    assert not drop_head(home)


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
    head = PersonalHead(HeadFacts(SHA, ("p-1", "p-2"), "now", 1.0, 0.5), weights)
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
    weights = {"head.weight": np.ones((2, 2), np.float32), "head.bias": np.zeros(2, np.float32)}
    keep_head(home, key, PersonalHead(HeadFacts(SHA, (), "now", 1.0, 0.5), weights))
    told = CliRunner().invoke(app, ["personalise", "--drop", "--json", "--home", str(home.path)])
    assert (told.exit_code, told.stdout.split()) == (0, ["{", '"dropped":', "true", "}"])
    assert kept_head(home, key) is None
