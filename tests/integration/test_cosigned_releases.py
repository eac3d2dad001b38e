"""A consortium that asks for two signatures: nothing that the coordinator signed alone is trained or run by a site."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from trust_fixtures import Consortium, model_of, refused, running
from typer.testing import CliRunner

from gaitkeeper_client.consortium.releases import active_release, pull_once
from gaitkeeper_client.consortium.studies import fetch_offers
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.cli import app as coordinator_app
from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.studies import SignedStudy, sign_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.registry import Registry
from gaitkeeper_server.releases.cosigned import hand_out, take_back
from gaitkeeper_server.releases.deployments import deploy, roll_back
from gaitkeeper_server.releases.publish import publish
from gaitkeeper_server.store import OrderRecord, StudyRecord
from gaitkeeper_shared.cosign.cli import app as cosign_app
from gaitkeeper_shared.cosign.documents import cosign, read_document
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.trust.keys import SigningKey
from gaitkeeper_shared.trust.release import Order
from gaitkeeper_shared.trust.signatures import ORDER_CONTEXT, STUDY_CONTEXT, sign

ANNA, BEN, STRANGER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    with running(tmp_path, cosigners=(ANNA.verifying, BEN.verifying), threshold=2) as made:
        yield made


def cosigned_study(consortium: Consortium, name: str = "walks") -> SignedStudy:
    path = consortium.folder / f"{name}.toml"
    path.write_text(example_study(name))
    with refused("study-needs-signatures"):
        sign_study(consortium.home, path)
    cosign(read_document(path), ANNA)
    return sign_study(consortium.home, path)


def cosigned_release(consortium: Consortium, study: SignedStudy, version: int) -> bytes:
    model = model_of(study, seed=version)
    publish(consortium.home, version, model, study=study.study.name, study_hash=study.hash)
    manifest, beside, _ = hand_out(consortium.home, version, consortium.folder / f"out-{version}")
    cosign(read_document(manifest), ANNA)
    take_back(consortium.home, version, beside)
    return model


def offered(home: SiteHome) -> list[str]:
    return [offer.study.name for offer in fetch_offers(home).offers]


def test_a_study_is_offered_once_a_second_key_signed_it(consortium: Consortium) -> None:
    home = consortium.site("north")
    path = consortium.folder / "walks.toml"
    path.write_text(example_study("walks"))
    with refused("study-needs-signatures"):
        sign_study(consortium.home, path)
    cosign(read_document(path), STRANGER)
    with refused("study-needs-signatures"):
        sign_study(consortium.home, path)
    assert offered(home) == []
    cosign(read_document(path), BEN)
    sign_study(consortium.home, path)
    assert offered(home) == ["walks"]


def test_what_the_coordinator_signed_alone_is_no_study_for_a_site(consortium: Consortium) -> None:
    home = consortium.site("north")
    data = example_study("alone").encode()
    signatures = sign(data, STUDY_CONTEXT, consortium.home.signer()).to_bytes()
    consortium.store.offer_study(StudyRecord("0" * 64, "alone", data, signatures, "2026-01-01T00:00:00Z"))
    offers = fetch_offers(home)
    assert offers.offers == ()
    assert [refusal.code for refusal in offers.refused] == ["signature-not-trusted"]


def test_a_release_waits_for_its_second_signature_and_then_runs(consortium: Consortium) -> None:
    home, study = consortium.site("north"), cosigned_study(consortium)
    model = model_of(study)
    publish(consortium.home, 1, model, study="walks", study_hash=study.hash)
    with refused("release-needs-signatures"):
        deploy(consortium.home, 1)
    manifest, beside, released = hand_out(consortium.home, 1, consortium.folder / "out")
    assert released.read_bytes() == model
    with refused("release-signature-useless"):
        take_back(consortium.home, 1, beside)
    cosign(read_document(manifest), STRANGER)
    with refused("release-signature-useless"):
        take_back(consortium.home, 1, beside)
    cosign(read_document(manifest), BEN)
    assert take_back(consortium.home, 1, beside) == (BEN.verifying.key_id,)
    with refused("release-signature-useless"):
        take_back(consortium.home, 1, beside)  # they are here already
    # releasing the same bytes again keeps what was signed
    publish(consortium.home, 1, model, study="walks", study_hash=study.hash)
    deploy(consortium.home, 1)
    assert pull_once(home).state == "activated"
    active = active_release(home)
    assert active is not None
    assert active.model == model


def test_signatures_of_one_release_do_not_count_for_another(consortium: Consortium) -> None:
    study = cosigned_study(consortium)
    cosigned_release(consortium, study, 1)
    publish(consortium.home, 2, model_of(study, seed=2), study="walks", study_hash=study.hash)
    with refused("signature-other-document"):
        take_back(consortium.home, 2, consortium.folder / "out-1/release-1.json.sig")


def test_a_coordinator_that_orders_what_it_signed_alone_is_refused_by_the_site(consortium: Consortium) -> None:
    home, study = consortium.site("north"), cosigned_study(consortium)
    model = cosigned_release(consortium, study, 1)
    deploy(consortium.home, 1)
    assert pull_once(home).state == "activated"
    publish(consortium.home, 2, model_of(study, seed=2), study="walks", study_hash=study.hash)
    record = consortium.store.release(2)
    assert record is not None
    digest = read_document(hand_out(consortium.home, 2, consortium.folder / "out-2")[0]).sha256
    order = Order("tri", "north", consortium.store.highest_sequence() + 1, 2, digest, "2026-01-01T00:00:00Z")
    signatures = sign(order.to_bytes(), ORDER_CONTEXT, consortium.home.signer()).to_bytes()
    consortium.store.add_orders(
        [OrderRecord("north", order.sequence, 2, order.to_bytes(), signatures, order.ordered_at, None, "", "", None)]
    )
    outcome = pull_once(home)
    assert (outcome.state, outcome.code) == ("refused", "signature-not-trusted")
    active = active_release(home)
    assert active is not None
    assert (active.version, active.model) == (1, model)


def test_rolling_back_needs_nobody_else(consortium: Consortium) -> None:
    home, study = consortium.site("north"), cosigned_study(consortium)
    models = [cosigned_release(consortium, study, version) for version in (1, 2)]
    for version in (1, 2):
        deploy(consortium.home, version)
        assert pull_once(home).state == "activated"
    roll_back(consortium.home)
    assert pull_once(home).state == "activated"
    active = active_release(home)
    assert active is not None
    assert active.model == models[0]


def test_the_commands_tell_a_cosigner_what_is_signed(consortium: Consortium, tmp_path: Path) -> None:
    study = cosigned_study(consortium)
    publish(consortium.home, 1, model_of(study), study="walks", study_hash=study.hash, notes="first one")
    manifest, beside, model = hand_out(consortium.home, 1, tmp_path / "out")
    key = tmp_path / "anna.key"
    ANNA.save(key)
    runner = CliRunner()
    shown = runner.invoke(cosign_app, ["show", str(manifest), "--model", str(model)])
    assert shown.exit_code == 0, shown.output
    assert "release 1 of 'walks'" in shown.output
    assert "first one" in shown.output
    assert study.hash in shown.output
    before = beside.read_bytes()
    no = runner.invoke(cosign_app, ["sign", str(manifest), "--key", str(key)], input="n\n")
    assert (no.exit_code, beside.read_bytes()) == (3, before)
    yes = runner.invoke(cosign_app, ["sign", str(manifest), "--key", str(key), "--model", str(model)], input="y\n")
    assert yes.exit_code == 0, yes.output
    assert take_back(consortium.home, 1, beside) == (ANNA.verifying.key_id,)
    other = tmp_path / "other.safetensors"
    shutil.copyfile(model, other)
    other.write_bytes(other.read_bytes()[:-1] + b"\0")
    wrong = runner.invoke(cosign_app, ["sign", str(manifest), "--key", str(key), "--model", str(other), "--yes"])
    assert isinstance(wrong.exception, GaitkeeperError)
    assert wrong.exception.code == "cosign-other-model"


def test_a_registered_version_is_promoted_by_two_people(
    consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    site, study = consortium.site("north"), cosigned_study(consortium)
    model = ModelBundle.from_bytes(model_of(study))
    version = str(
        Registry(consortium.home).register(model, (consortium.folder / "walks.toml").read_bytes(), run="run-1")
    )
    runner, key, out = CliRunner(), tmp_path / "anna.key", tmp_path / "out"
    ANNA.save(key)
    promote = ["promote", version, "--home", str(consortium.home.path)]
    alone = runner.invoke(coordinator_app, promote)
    assert isinstance(alone.exception, GaitkeeperError)
    assert alone.exception.code == "release-needs-signatures"
    handed = runner.invoke(coordinator_app, [*promote, "--hand-out", str(out)])
    assert handed.exit_code == 0, handed.output
    # What the command prints is what the co-signer types, in the folder that was handed out.
    words = handed.output.strip().splitlines()[-1].replace("KEY", str(key)).split()
    monkeypatch.chdir(out)
    signed = runner.invoke(cosign_app, words[2:], input="y\n")
    assert signed.exit_code == 0, signed.output
    beside = next(out.glob("*.sig"))
    ordered = runner.invoke(coordinator_app, [*promote, "--signatures", str(beside)])
    assert ordered.exit_code == 0, ordered.output
    assert pull_once(site).state == "activated"
    active = active_release(site)
    assert active is not None
    assert active.model == model.to_bytes()


def test_a_consortium_is_founded_with_cosigners(tmp_path: Path) -> None:
    runner, home = CliRunner(), tmp_path / "coordinator"
    made = runner.invoke(cosign_app, ["key", str(tmp_path / "anna.key")])
    public = made.output.strip().splitlines()[-1]
    assert SigningKey.load(tmp_path / "anna.key").verifying.raw.hex() == public
    again = runner.invoke(cosign_app, ["key", str(tmp_path / "anna.key")])
    assert isinstance(again.exception, GaitkeeperError)
    founded = ["init", "--home", str(home), "--name", "tri"]
    ports = [word for name in ("enrolment", "site", "fleet", "control") for word in (f"--{name}-port", "0")]
    for words, code in ((["--cosigner", "abc"], "cosign-key"), (["--signatures", "2"], "cosign-threshold")):
        refusal = runner.invoke(coordinator_app, [*founded, *ports, *words])
        assert isinstance(refusal.exception, GaitkeeperError)
        assert refusal.exception.code == code
        assert not home.exists()
    done = runner.invoke(coordinator_app, [*founded, *ports, "--cosigner", public])
    assert done.exit_code == 0, done.output
    assert "2 signatures of 2 keys" in done.output
    assert CoordinatorHome(home).consortium().threshold == 2
    settings = home / "coordinator.toml"
    settings.write_text(settings.read_text().replace("threshold = 2", "threshold = 3"))
    with refused("coordinator-config"):
        CoordinatorHome(home).consortium()
