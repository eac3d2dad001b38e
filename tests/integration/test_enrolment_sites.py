"""Enrolment and studies over real gRPC servers: who gets in, what a site believes, and that nothing else goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trust_fixtures import Consortium, new_site, refused, running

from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
from gaitkeeper_client.consortium.enrol import enrol, renew_if_due
from gaitkeeper_client.consortium.releases import pull_once
from gaitkeeper_client.consortium.studies import (
    approve,
    approved_study,
    fetch_offers,
    find_offer,
    known_offers,
    report_decision,
    withdraw,
)
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.enrolment.example import example_study
from gaitkeeper_server.enrolment.invitations import revoke
from gaitkeeper_server.enrolment.studies import sign_study, signed_study
from gaitkeeper_server.store import StudyRecord
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import Endpoint, call
from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2, studies_pb2_grpc
from gaitkeeper_shared.study import study_hash
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.certificates import Authority, load_certificate, new_request, pem, read_request
from gaitkeeper_shared.trust.keys import SigningKey, new_tls_key, private_pem
from gaitkeeper_shared.trust.signatures import STUDY_CONTEXT, sign, signature_path


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    with running(tmp_path) as made:
        yield made


def assert_not_enrolled(home: SiteHome) -> None:
    with refused("not-enrolled"):
        CoordinatorConnection.load(home)
    assert not KeyFiles(home.keys).site_certificate.exists()


def test_a_site_enrols_and_its_keys_stay_at_home(consortium: Consortium) -> None:
    home = consortium.site("north")
    files = KeyFiles(home.keys)
    for key in (files.site_key, files.node_key):
        assert key.stat().st_mode & 0o777 == 0o600
        everything = b"".join(path.read_bytes() for path in consortium.home.path.rglob("*") if path.is_file())
        assert key.read_bytes().splitlines()[1] not in everything
    site = consortium.store.site("north")
    assert site is not None
    assert site.state == "enrolled"
    assert site.certificate == files.site_certificate.read_bytes()
    assert not list(home.keys.glob("enrolling-*"))
    assert AuditLog(home.audit_log).verify().sequence == 1
    assert [entry.event for entry in AuditLog(consortium.home.audit_log).entries()][-1] == "site-enrolled"


def test_the_node_key_is_one_that_flower_loads(consortium: Consortium) -> None:
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    files = KeyFiles(consortium.site("north").keys)
    private = load_ssh_private_key(files.node_key.read_bytes(), None)
    registered = consortium.store.enrolled_sites()[0].node_public_key
    assert public_key_to_bytes(private.public_key()) == registered  # type: ignore[arg-type]
    assert public_key_to_bytes(load_ssh_public_key(files.node_public_key.read_bytes())) == registered  # type: ignore[arg-type]


def test_a_token_works_once(consortium: Consortium) -> None:
    home = consortium.site("north")
    before = KeyFiles(home.keys).site_certificate.read_bytes()
    thief = new_site(consortium.folder / "thief", "north")
    with refused("enrolment-token-used"):
        enrol(thief, consortium.folder / "north.invitation")
    assert_not_enrolled(thief)
    with refused("enrolment-exists"):
        enrol(home, consortium.folder / "north.invitation")
    with refused("enrolment-token-used") as error:
        enrol(home, consortium.folder / "north.invitation", again=True)
    # Its own letter, with new keys: nobody else was there, and nobody need be shut out.
    assert "other keys than those of this machine" not in error.value.message
    assert "all is well" in str(error.value.remedy)
    assert consortium.store.enrolled_sites()[0].certificate == before
    fetch_offers(home)


def test_a_lost_answer_is_given_again_to_the_same_keys(consortium: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_site(consortium.folder / "north", "north")
    invitation = consortium.invitation("north")
    with monkeypatch.context() as patched:
        patched.setattr("gaitkeeper_client.consortium.enrol._install", _crash)
        with pytest.raises(KeyboardInterrupt):
            enrol(home, invitation)
    assert_not_enrolled(home)
    enrol(home, invitation)
    fetch_offers(home)


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_new_invitation_ends_the_one_before(consortium: Consortium) -> None:
    home = new_site(consortium.folder / "north", "north")
    first = consortium.invitation("north").read_text()
    consortium.invitation("north")
    (consortium.folder / "old").write_text(first)
    with refused("enrolment-token"):
        enrol(home, consortium.folder / "old")
    enrol(home, consortium.folder / "north.invitation")


def test_an_expired_token_is_refused(consortium: Consortium) -> None:
    home = new_site(consortium.folder / "north", "north")
    invitation = consortium.invitation("north", clock=lambda: datetime.now(UTC) - timedelta(hours=73))
    with refused("enrolment-token-expired"):
        enrol(home, invitation)
    assert_not_enrolled(home)
    assert not list(home.keys.glob("enrolling-*"))


def test_an_invitation_is_for_one_site(consortium: Consortium) -> None:
    home = new_site(consortium.folder / "south", "south")
    with refused("enrolment-other-site"):
        enrol(home, consortium.invitation("north"))
    assert_not_enrolled(home)


def test_a_coordinator_with_another_root_is_refused(consortium: Consortium) -> None:
    """Somebody who stands between has another root: the token is not even sent."""
    home = new_site(consortium.folder / "north", "north")
    invitation = consortium.invitation("north")
    ours = consortium.home.root_certificate.read_text()
    invitation.write_text(invitation.read_text().replace(ours, pem(Authority.create("tri").certificate).decode()))
    with refused("enrolment-wrong-root"):
        enrol(home, invitation)
    assert_not_enrolled(home)
    site = consortium.store.site("north")
    assert site is not None
    assert site.state == "invited"


def test_a_coordinator_out_of_reach_is_named(consortium: Consortium) -> None:
    home = new_site(consortium.folder / "north", "north")
    invitation = consortium.invitation("north")
    config = consortium.home.config()
    invitation.write_text(invitation.read_text().replace(config.address(config.enrolment_port), "127.0.0.1:1"))
    with refused("rpc-unreachable"):
        enrol(home, invitation)
    assert_not_enrolled(home)


def stranger(consortium: Consortium, authority: Authority, name: str = "north") -> Endpoint:
    config = consortium.home.config()
    key = new_tls_key()
    certificate = authority.issue_site(read_request(new_request(key, name)), name)
    root = consortium.home.root_certificate.read_bytes()
    return Endpoint(config.address(config.site_port), root, pem(certificate), private_pem(key))


def list_studies(endpoint: Endpoint) -> studies_pb2.ListStudiesResponse:
    with endpoint.channel() as channel:
        return call(studies_pb2_grpc.StudiesStub(channel).ListStudies, studies_pb2.ListStudiesRequest(), endpoint)


def test_strangers_do_not_get_in(consortium: Consortium) -> None:
    consortium.site("north")
    with refused("rpc-certificate"):
        list_studies(stranger(consortium, Authority.create("tri")))
    # Of the right authority, in the right name, but not the certificate that was given to the site.
    with refused("site-refused"):
        list_studies(stranger(consortium, consortium.home.authority()))
    anonymous = stranger(consortium, consortium.home.authority())
    with pytest.raises(GaitkeeperError):
        list_studies(Endpoint(anonymous.address, anonymous.root_certificate))


def test_a_revoked_site_is_out_at_once_and_back_by_invitation_only(consortium: Consortium) -> None:
    home, neighbour = consortium.site("north"), consortium.site("south")
    fetch_offers(home)
    revoke(consortium.home, "north")
    with refused("site-refused"):
        fetch_offers(home)
    with refused("site-refused"):
        pull_once(home)
    fetch_offers(neighbour)
    assert [site.name for site in consortium.store.enrolled_sites()] == ["south"]
    enrol(home, consortium.invitation("north"), again=True)
    fetch_offers(home)


def test_a_certificate_renews_itself_from_a_third_of_its_life_on(consortium: Consortium) -> None:
    home = consortium.site("north")
    files = KeyFiles(home.keys)
    old = files.site_certificate.read_bytes()
    assert not renew_if_due(home)
    later = datetime.now(UTC) + timedelta(days=31)
    # The coordinator's clock stays: its fresh certificate is valid from now, thus 31 days later too.
    assert renew_if_due(home, clock=lambda: later)
    assert files.site_certificate.read_bytes() != old
    new = files.site_certificate.read_bytes()
    # Both count until the new one was shown: an answer that got lost locks nobody out.
    files.site_certificate.write_bytes(old)
    fetch_offers(home)
    files.site_certificate.write_bytes(new)
    fetch_offers(home)
    files.site_certificate.write_bytes(old)
    with refused("site-refused"):
        fetch_offers(home)


# Studies


def test_a_study_is_approved_and_then_trained_from(consortium: Consortium) -> None:
    home, signed = consortium.site("north"), consortium.signed_study()
    assert [offer.hash for offer in fetch_offers(home).offers] == [signed.hash]
    with refused("study-not-approved"):
        approved_study(home, signed.hash)
    offer = approve(home, find_offer(home, "walks"))
    report_decision(home, offer)
    assert approved_study(home, signed.hash) == signed.study
    assert [item.approved for item in consortium.store.decisions(signed.hash)] == [True]
    withdraw(home, find_offer(home, signed.hash[:8]))
    with refused("study-not-approved"):
        approved_study(home, signed.hash)


@pytest.mark.parametrize("where", ["study.toml", "study.toml.sig"])
def test_a_changed_byte_after_approval_is_refused(consortium: Consortium, where: str) -> None:
    home, signed = consortium.site("north"), consortium.signed_study()
    fetch_offers(home)
    approve(home, find_offer(home, "walks"))
    path = home.studies / signed.hash / where
    path.write_bytes(path.read_bytes().replace(b"8.0", b"9.0").replace(b'"signature": "', b'"signature": "A'))
    with pytest.raises(GaitkeeperError) as error:
        approved_study(home, signed.hash)
    assert error.value.code.startswith("signature-")
    assert error.value.exit_status == 3
    assert not known_offers(home).offers


def test_an_approval_is_of_one_study(consortium: Consortium) -> None:
    home, one, other = consortium.site("north"), consortium.signed_study("one"), consortium.signed_study("other")
    fetch_offers(home)
    approve(home, find_offer(home, "one"))
    shutil.copy(home.studies / one.hash / "approval.json", home.studies / other.hash / "approval.json")
    with refused("study-approval-damaged"):
        approved_study(home, other.hash)


def test_a_hash_from_outside_never_becomes_a_path(consortium: Consortium) -> None:
    home = consortium.site("north")
    for text in ("../" * 20 + "etc/passwd", "a" * 63, "A" * 64, "", "a" * 64):
        with refused("study-not-offered"):
            approved_study(home, text)


def test_a_study_that_the_consortium_did_not_sign_is_not_believed(consortium: Consortium) -> None:
    """A coordinator's machine was taken over, but its signing key was elsewhere."""
    home = consortium.site("north")
    data = example_study("forged").encode()
    forged = sign(data, STUDY_CONTEXT, SigningKey.generate()).to_bytes()
    consortium.store.offer_study(StudyRecord(study_hash(data), "forged", data, forged, "2026"))
    good = consortium.signed_study()
    changed = good.data.replace(b"epsilon = 8.0", b"epsilon = 80.0")
    honest = consortium.store.study(good.hash)
    assert honest is not None
    consortium.store.offer_study(StudyRecord(study_hash(changed), "walks", changed, honest.signatures, "2026"))
    offers = fetch_offers(home)
    assert [offer.hash for offer in offers.offers] == [good.hash]
    assert {item.code for item in offers.refused} == {"signature-not-trusted", "signature-other-document"}
    assert not (home.studies / study_hash(changed)).exists()
    assert [entry.event for entry in AuditLog(home.audit_log).entries()].count("study-refused") == 2


def test_the_coordinator_signs_only_what_may_be_trained(consortium: Consortium) -> None:
    signed = consortium.signed_study()
    path = consortium.folder / "walks.toml"
    assert sign_study(consortium.home, path).hash == signed.hash
    assert signed_study(consortium.home, str(path)).hash == signed_study(consortium.home, "walks").hash == signed.hash
    path.write_bytes(path.read_bytes() + b"\n")
    with refused("study-altered"):
        sign_study(consortium.home, path)
    with refused("study-altered"):
        signed_study(consortium.home, str(path))
    signature_path(path).unlink()
    path.write_text(example_study("open").replace("epsilon = 8.0", "epsilon = inf"))
    with refused("study-not-private"):
        sign_study(consortium.home, path)
    assert not signature_path(path).exists()
    path.write_text(example_study("zero").replace("epsilon = 8.0", "epsilon = 0"))
    with refused("study-bad-value"):
        sign_study(consortium.home, path)
    assert len(consortium.store.studies()) == 1


# The commands


def gaitkeeper(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ})


def test_the_commands_tell_the_story(consortium: Consortium) -> None:
    folder = consortium.folder
    assert gaitkeeper("site", "init", "--name", "north", "--home", "n", folder=folder).returncode == 0
    told = gaitkeeper("site", "studies", "--home", "n", folder=folder)
    assert told.returncode == 2
    assert "not-enrolled" in told.stderr
    invited = gaitkeeper("coordinator", "invite", "north", "--home", "coordinator", "--output", "inv", folder=folder)
    assert invited.returncode == 0
    assert (folder / "inv").stat().st_mode & 0o777 == 0o600
    again = gaitkeeper("coordinator", "invite", "north", "--home", "coordinator", "--output", "inv", folder=folder)
    assert (again.returncode, "file-exists" in again.stderr) == (2, True)
    assert gaitkeeper("site", "enrol", "inv", "--home", "n", folder=folder).returncode == 0
    assert gaitkeeper("coordinator", "study", "new", "study.toml", folder=folder).returncode == 0
    assert (
        gaitkeeper("coordinator", "study", "sign", "study.toml", "--home", "coordinator", folder=folder).returncode == 0
    )
    shown = json.loads(gaitkeeper("site", "studies", "--home", "n", "--json", folder=folder).stdout)
    assert [row["approved_at"] for row in shown["studies"]] == [None]
    asked = gaitkeeper("site", "approve", "study", "--home", "n", folder=folder)
    assert asked.returncode != 0  # nobody answered the question
    agreed = gaitkeeper("site", "approve", "study", "--yes", "--home", "n", folder=folder)
    assert agreed.returncode == 0
    assert "epsilon 8" in agreed.stdout
    sites = json.loads(gaitkeeper("coordinator", "sites", "--json", "--home", "coordinator", folder=folder).stdout)
    assert [(row["name"], row["state"]) for row in sites] == [("north", "enrolled")]
    assert "Traceback" not in told.stderr + again.stderr + asked.stderr


def test_init_is_all_or_nothing(tmp_path: Path) -> None:
    bad = gaitkeeper("coordinator", "init", "--name", "x", "--host", "a b", "--home", "c", folder=tmp_path)
    assert (bad.returncode, list(tmp_path.iterdir())) == (2, [])
    assert gaitkeeper("coordinator", "init", "--name", "x", "--home", "c", folder=tmp_path).returncode == 0
    root = (tmp_path / "c" / "keys" / "root.crt").read_bytes()
    twice = gaitkeeper("coordinator", "init", "--name", "x", "--home", "c", folder=tmp_path)
    assert "coordinator-exists" in twice.stderr
    assert (tmp_path / "c" / "keys" / "root.crt").read_bytes() == root
    assert load_certificate(tmp_path / "c" / "keys" / "root.crt").issuer.rfc4514_string().startswith("CN=x")
    missing = gaitkeeper("coordinator", "sites", "--home", "nowhere", folder=tmp_path)
    assert (missing.returncode, "coordinator-missing" in missing.stderr) == (2, True)
