"""Releases over real gRPC servers: what a site activates, what it refuses, and what it keeps meanwhile."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trust_fixtures import Consortium, model_of, refused, running

from gaitkeeper_client.consortium.connection import CoordinatorConnection
from gaitkeeper_client.consortium.releases import active_release, pull_once
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.enrolment.studies import SignedStudy
from gaitkeeper_server.releases.deployments import deploy, deployments, roll_back
from gaitkeeper_server.releases.publish import model_path, publish
from gaitkeeper_server.store import OrderRecord, ReleaseRecord
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.rpc.channels import stream
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2 as messages
from gaitkeeper_shared.rpc.gaitkeeper.v1 import releases_pb2_grpc as services
from gaitkeeper_shared.trust.audit import AuditLog
from gaitkeeper_shared.trust.keys import SigningKey
from gaitkeeper_shared.trust.release import Manifest, Order
from gaitkeeper_shared.trust.signatures import ORDER_CONTEXT, RELEASE_CONTEXT, sign


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def study(consortium: Consortium) -> SignedStudy:
    return consortium.signed_study()


def much_later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def release(consortium: Consortium, study: SignedStudy, version: int) -> bytes:
    model = model_of(study, seed=version)
    publish(consortium.home, version, model, study=study.study.name, study_hash=study.hash)
    return model


def site_with(consortium: Consortium, study: SignedStudy, version: int = 1) -> tuple[SiteHome, bytes]:
    """A site that runs ``version``."""
    home = consortium.site("north")
    model = release(consortium, study, version)
    deploy(consortium.home, version)
    assert pull_once(home).state == "activated"
    return home, model


def assert_runs(home: SiteHome, version: int, model: bytes) -> None:
    active = active_release(home)
    assert active is not None
    assert (active.version, active.model) == (version, model)


def flip(path: Path, position: int = -10) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(bytes(data))


def test_a_release_comes_back_and_is_acknowledged(consortium: Consortium, study: SignedStudy) -> None:
    home = consortium.site("north")
    assert pull_once(home).state == "none"
    assert active_release(home) is None
    assert deployments(consortium.home)[0].state == "none"
    model = release(consortium, study, 1)
    deploy(consortium.home, 1)
    assert deployments(consortium.home)[0].state == "ordered"
    assert pull_once(home).state == "activated"
    assert_runs(home, 1, model)
    row = deployments(consortium.home)[0]
    assert (row.state, row.version, row.active_version) == ("active", 1, 1)
    assert pull_once(home).state == "current"
    assert not list(home.releases.glob(".incoming-*"))
    assert AuditLog(home.audit_log).verify()


def test_a_model_of_several_chunks_arrives_whole(
    consortium: Consortium, study: SignedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaitkeeper_server.releases.service.CHUNK_BYTES", 1000)
    home, model = site_with(consortium, study)
    assert len(model) > 3000
    assert_runs(home, 1, model)


def test_a_bit_flipped_on_the_way_is_refused_and_the_old_one_stays(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    new = release(consortium, study, 2)
    flip(model_path(consortium.home, 2))
    deploy(consortium.home, 2)
    outcome = pull_once(home)
    assert (outcome.state, outcome.code) == ("refused", "release-corrupt")
    assert_runs(home, 1, old)
    row = deployments(consortium.home)[0]
    assert (row.state, row.code, row.version, row.active_version) == ("refused", "release-corrupt", 2, 1)
    assert not (home.releases / "2").exists()
    model_path(consortium.home, 2).write_bytes(new)
    assert pull_once(home).state == "refused"
    assert pull_once(home, clock=much_later).state == "activated"
    assert_runs(home, 2, new)
    assert not (home.releases / "refused.json").exists()


def test_a_refused_release_is_neither_fetched_nor_told_again(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    publish(consortium.home, 2, b"not a model", study="walks", study_hash=study.hash)
    deploy(consortium.home, 2)
    first = pull_once(home)
    assert (first.state, first.code) == ("refused", "model-damaged")
    model_path(consortium.home, 2).unlink()  # whoever asked for it now would hear that there is none
    lines = [AuditLog(at.audit_log).head().sequence for at in (home, consortium.home)]
    for _ in range(3):
        assert pull_once(home) == first
    assert [AuditLog(at.audit_log).head().sequence for at in (home, consortium.home)] == lines
    assert_runs(home, 1, old)
    # A new order is a new matter, and the refusal of the old one is forgotten with it.
    roll_back(consortium.home, 1)
    assert pull_once(home).state == "activated"
    assert not (home.releases / "refused.json").exists()


def test_a_refusal_tried_again_in_vain_is_told_once(consortium: Consortium, study: SignedStudy) -> None:
    home, _ = site_with(consortium, study)
    publish(consortium.home, 2, b"not a model", study="walks", study_hash=study.hash)
    deploy(consortium.home, 2)
    pull_once(home)
    lines = [AuditLog(at.audit_log).head().sequence for at in (home, consortium.home)]
    assert pull_once(home, clock=much_later).code == "model-damaged"
    assert [AuditLog(at.audit_log).head().sequence for at in (home, consortium.home)] == lines


def test_a_site_has_two_downloads_at_most_at_a_time(
    consortium: Consortium, study: SignedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, model = site_with(consortium, study)
    monkeypatch.setattr("gaitkeeper_server.releases.service.CHUNK_BYTES", 1)
    endpoint = CoordinatorConnection.load(home).endpoint(home)
    request = messages.DownloadRequest(version=1)
    with endpoint.channel() as channel:
        stub = services.ReleasesStub(channel)
        downloads = [stub.Download(request, timeout=30) for _ in range(2)]
        for download in downloads:
            next(download)
        with refused("rpc-busy"):
            next(stream(stub.Download, request, endpoint, deadline_s=30))
        for download in downloads:
            download.cancel()
    monkeypatch.setattr("gaitkeeper_server.releases.service.CHUNK_BYTES", 256 * 1024)
    with endpoint.channel() as channel:
        stub = services.ReleasesStub(channel)
        got, until = b"", time.monotonic() + 20
        while not got and time.monotonic() < until:
            # Until the server has noticed that the two were given up.
            with contextlib.suppress(GaitkeeperError):
                got = b"".join(part.data for part in stream(stub.Download, request, endpoint, deadline_s=30))
        assert got == model


@pytest.mark.parametrize("change", [b"", b"extra"])
def test_a_model_of_another_length_is_refused(consortium: Consortium, study: SignedStudy, change: bytes) -> None:
    home, old = site_with(consortium, study)
    new = release(consortium, study, 2)
    model_path(consortium.home, 2).write_bytes(new + change if change else new[:-5])
    deploy(consortium.home, 2)
    assert pull_once(home).code == "release-corrupt"
    assert_runs(home, 1, old)


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json", "manifest.sig"])
def test_a_bit_flipped_on_the_disk_is_refused_and_mended(consortium: Consortium, study: SignedStudy, name: str) -> None:
    home, model = site_with(consortium, study)
    flip(home.releases / "1" / name, 30 if name != "manifest.sig" else -40)
    with pytest.raises(GaitkeeperError) as error:
        active_release(home)
    assert error.value.exit_status == 3
    assert pull_once(home).state == "activated"
    assert_runs(home, 1, model)


def test_an_edited_pointer_activates_nothing(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    pointer = home.releases / "active.json"
    table = json.loads(pointer.read_bytes())
    for key, value in (("order", table["order"].replace('"version":1', '"version":2')), ("signatures", "{}")):
        pointer.write_text(json.dumps({**table, key: value}))
        with pytest.raises(GaitkeeperError):
            active_release(home)
    pointer.write_text("garbage")
    with refused("release-damaged"):
        active_release(home)
    pull_once(home)
    assert_runs(home, 1, old)


def test_rolling_back_is_one_command_and_needs_no_download(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    new = release(consortium, study, 2)
    deploy(consortium.home, 2)
    pull_once(home)
    assert_runs(home, 2, new)
    model_path(consortium.home, 1).unlink()  # the coordinator need not even have it any more
    assert roll_back(consortium.home) == {"north": 1}
    assert pull_once(home).state == "activated"
    assert_runs(home, 1, old)
    assert deployments(consortium.home)[0].active_version == 1


def test_there_is_nothing_to_go_back_to_before_the_second_release(consortium: Consortium, study: SignedStudy) -> None:
    site_with(consortium, study)
    with refused("rollback-impossible"):
        roll_back(consortium.home)
    with refused("release-unknown"):
        roll_back(consortium.home, to=7)
    with refused("release-no-target"):
        deploy(consortium.home, 1, ["nobody"])
    assert len(consortium.store.orders("north")) == 1


def test_a_replayed_order_is_refused(consortium: Consortium, study: SignedStudy) -> None:
    """A true, signed, but older order must not bring a withdrawn model back."""
    home, _ = site_with(consortium, study)
    old_order = consortium.store.current_order("north")
    assert old_order is not None
    new = release(consortium, study, 2)
    deploy(consortium.home, 2)
    pull_once(home)
    _forget_orders_but(consortium, old_order)
    outcome = pull_once(home)
    assert (outcome.state, outcome.code) == ("refused", "release-replayed")
    assert_runs(home, 2, new)


def _forget_orders_but(consortium: Consortium, order: OrderRecord) -> None:
    """As a coordinator's store restored from an old backup, or a hostile one, would be."""
    import sqlite3

    with sqlite3.connect(consortium.home.store) as database:
        database.execute("DELETE FROM orders WHERE sequence != ?", (order.sequence,))
    database.close()


def test_a_coordinator_restored_from_a_backup_counts_on(consortium: Consortium, study: SignedStudy) -> None:
    home, _ = site_with(consortium, study)
    first = consortium.store.current_order("north")
    assert first is not None
    new = release(consortium, study, 2)
    deploy(consortium.home, 2)
    pull_once(home)
    _forget_orders_but(consortium, first)
    deploy(consortium.home, 2, clock=lambda: datetime.now(UTC) + timedelta(seconds=1))
    assert pull_once(home).state == "activated"
    assert_runs(home, 2, new)


def test_an_order_to_another_site_is_refused(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    consortium.site("south")
    release(consortium, study, 2)
    deploy(consortium.home, 2, ["south"])
    theirs = consortium.store.current_order("south")
    assert theirs is not None
    consortium.store.add_orders([replace(theirs, site="north", sequence=theirs.sequence + 1)])
    assert pull_once(home).code == "release-other-site"
    assert_runs(home, 1, old)


def test_what_the_consortium_did_not_sign_is_refused(consortium: Consortium, study: SignedStudy) -> None:
    """A hostile coordinator without the signing key: a forged order, and a forged manifest."""
    home, old = site_with(consortium, study)
    thief = SigningKey.generate()
    model = model_of(study, seed=9)
    manifest = publish(consortium.home, 2, model, study=study.study.name, study_hash=study.hash)
    deploy(consortium.home, 2)
    true = consortium.store.current_order("north")
    assert true is not None
    forged = Order.from_bytes(true.order).to_bytes()
    consortium.store.add_orders(
        [replace(true, sequence=true.sequence + 1, signatures=sign(forged, ORDER_CONTEXT, thief).to_bytes())]
    )
    assert pull_once(home).code == "signature-not-trusted"
    assert_runs(home, 1, old)

    data = replace(manifest, version=3).to_bytes()
    consortium.store.add_release(ReleaseRecord(3, data, sign(data, RELEASE_CONTEXT, thief).to_bytes()))
    with refused("signature-not-trusted"):
        deploy(consortium.home, 3)


def test_a_manifest_swapped_for_another_signed_one_is_refused(consortium: Consortium, study: SignedStudy) -> None:
    import sqlite3

    home, old = site_with(consortium, study)
    release(consortium, study, 2)
    deploy(consortium.home, 2)
    kept = consortium.store.release(2)
    assert kept is not None
    other = replace(Manifest.from_bytes(kept.manifest), notes="another").to_bytes()
    signatures = sign(other, RELEASE_CONTEXT, consortium.home.signer()).to_bytes()
    with sqlite3.connect(consortium.home.store) as database:
        database.execute("UPDATE releases SET manifest = ?, signatures = ? WHERE version = 2", (other, signatures))
    database.close()
    assert pull_once(home).code == "release-order-mismatch"
    assert_runs(home, 1, old)


def test_bytes_that_are_no_model_are_refused_though_signed(consortium: Consortium, study: SignedStudy) -> None:
    home, old = site_with(consortium, study)
    publish(consortium.home, 2, b"not a model at all", study=study.study.name, study_hash=study.hash)
    deploy(consortium.home, 2)
    assert pull_once(home).code == "model-damaged"
    assert_runs(home, 1, old)


def test_an_interrupted_pull_leaves_the_old_one_and_goes_on(
    consortium: Consortium, study: SignedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, old = site_with(consortium, study)
    new = release(consortium, study, 2)
    deploy(consortium.home, 2)
    for step in ("store_release", "activate"):
        with monkeypatch.context() as patched:
            patched.setattr(f"gaitkeeper_client.consortium.releases.{step}", _killed)
            with pytest.raises(KeyboardInterrupt):
                pull_once(home)
        assert_runs(home, 1, old)
    (home.releases / ".incoming-dead").mkdir()
    assert pull_once(home).state == "activated"
    assert_runs(home, 2, new)
    assert not list(home.releases.glob(".incoming-*"))


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_acknowledgement_that_got_lost_is_sent_again(
    consortium: Consortium, study: SignedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = consortium.site("north")
    release(consortium, study, 1)
    deploy(consortium.home, 1)
    with monkeypatch.context() as patched:
        patched.setattr("gaitkeeper_client.consortium.releases._Pull._acknowledge", lambda *_, **__: False)
        assert pull_once(home).state == "activated"
    assert deployments(consortium.home)[0].state == "ordered"
    assert pull_once(home).state == "current"
    assert deployments(consortium.home)[0].state == "active"


def test_two_pulls_at_once_do_not_disturb_each_other(consortium: Consortium, study: SignedStudy) -> None:
    home = consortium.site("north")
    model = release(consortium, study, 1)
    deploy(consortium.home, 1)
    states: list[str] = []
    pulls = [threading.Thread(target=lambda: states.append(pull_once(home).state)) for _ in range(4)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(30)
    assert states.count("activated") == 1
    assert set(states) <= {"activated", "busy", "current"}
    assert_runs(home, 1, model)
