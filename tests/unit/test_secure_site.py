"""What a site remembers of masked rounds: the one sum that it helped to open, and its peers' keys."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from tests.unit.secure_fixtures import STUDY, MaskedGrid, authority, conduct, identity, names

from gaitkeeper_client.training.incoming import check_incoming, noise_on_a_weight
from gaitkeeper_client.training.peers import PeerPins
from gaitkeeper_client.training.replies import encode_reply
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.ledger import Ledger, RoundKey, StoredReply
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.request import check_one_sum_only
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundReply, SiteReport, decode_reply
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.secure.arithmetic import model_digest
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.messages import StageRequest
from gaitkeeper_shared.secure.statements import Place
from gaitkeeper_shared.study import parse_study, study_hash

KEY = RoundKey("s", "r", 1)
DISTRIBUTED = STUDY.replace(b"patients_per_site = 8", b'patients_per_site = 8\ntrust = "distributed"')


def test_the_ledger_remembers_the_one_sum_of_a_round(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.allow_sum(KEY, "a" * 64)
    ledger.allow_sum(KEY, "a" * 64)
    again = Ledger(tmp_path / "ledger.sqlite")
    for opened in (ledger, again):
        with pytest.raises(GaitkeeperError, match="another sum") as caught:
            opened.allow_sum(KEY, "b" * 64)
        assert caught.value.code == "secure-refused"
    again.allow_sum(RoundKey("s", "r", 2), "b" * 64)
    assert [entry.kind for entry in again.entries] == ["sum", "sum"]


def test_a_peer_whose_key_changed_is_refused_although_the_root_certified_it(tmp_path: Path) -> None:
    """What a coordinator can do that misuses its root."""
    membership = Membership(authority("test").certificate, pins=PeerPins(tmp_path / "peers.json"))
    known = identity("clinic-a")
    membership.check("clinic-a", known.certificate, b"m", known.sign(b"m"))
    membership.check("clinic-a", known.certificate, b"m", known.sign(b"m"))
    identity.cache_clear()
    impostor = identity("clinic-a")
    with pytest.raises(GaitkeeperError, match="not the one that it had before"):
        membership.check("clinic-a", impostor.certificate, b"m", impostor.sign(b"m"))


def test_a_name_that_was_not_known_is_told_once_before_it_is_pinned(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    path = tmp_path / "peers.json"
    for key in (b"k", b"k"):
        PeerPins(path, lambda site, digest: told.append((site, digest))).check("clinic-a", key)
    assert told == [("clinic-a", hashlib.sha256(b"k").hexdigest())]

    def full_disk(site: str, digest: str) -> None:
        raise GaitkeeperError("secure-refused", why="the disk is full")

    with pytest.raises(GaitkeeperError, match="disk is full"):
        PeerPins(path, full_disk).check("clinic-b", b"k")
    assert "clinic-b" not in path.read_text("utf-8")


def test_weights_that_spoil_a_masked_update_are_refused_before_anything_is_charged(tmp_path: Path) -> None:
    """Whoever the patients are: there are none here, and asking for them fails."""
    grid = MaskedGrid(tmp_path, names(1), study=DISTRIBUTED, training=True)
    runtime = grid.runtimes["clinic-a"]
    runtime.people = None  # type: ignore[assignment]
    for value, code in ((1025.0, "round-refused"), (-1e30, "round-refused"), (np.nan, "model-damaged")):
        weights = {name: np.full_like(array, value) for name, array in grid.initial.items()}
        report = run_round(runtime, runtime.order(1), weights).report
        assert (report.status, report.code) == ("refused", code), report
    assert runtime.ledger.entries == ()


def test_noise_must_not_be_lost_in_the_steps_of_float32() -> None:
    study = parse_study(DISTRIBUTED)
    prices = plan(study)
    noise = noise_on_a_weight(study, prices)
    check_incoming(study, prices, {"a": np.array([1024.0, -1.0], np.float32)})
    training = dataclasses.replace(study.training, learning_rate=study.training.learning_rate * 1e-5)
    small = dataclasses.replace(study, training=training)
    assert noise_on_a_weight(small, prices) == pytest.approx(noise * 1e-5)
    limit = noise * 1e-5 / 64
    fits = 2.0 ** (np.floor(np.log2(limit)) + 23)
    check_incoming(small, prices, {"a": np.array([fits], np.float32)})
    with pytest.raises(GaitkeeperError, match="would be lost") as caught:
        check_incoming(small, prices, {"a": np.array([2 * fits], np.float32)})
    assert caught.value.code == "round-refused"
    check_incoming(parse_study(STUDY), prices, {"a": np.array([2 * fits], np.float32)})


def test_an_update_is_not_masked_for_other_weights_than_it_was_trained_from(tmp_path: Path) -> None:
    """A second attempt that shows other weights over the update of the first."""
    shown = []

    def swapping(site: str, stage: str, number: int, reply: Message) -> Message | None:
        if (site, stage, number) == ("clinic-a", "input", 1):
            told = decode_reply(reply.content)
            shown.append(told.report)
        return reply

    grid = MaskedGrid(tmp_path, names(3), swapping)
    key = RoundKey(study_hash(STUDY), "run", 1)
    other = {name: array + 1 for name, array in grid.initial.items()}
    update = RoundReply(SiteReport("clinic-a", "trained"), dict(grid.initial))
    grid.runtimes["clinic-a"].ledger.store_reply(key, StoredReply(encode_reply(update, model_digest(other)), b""))

    record = conduct(Journal(tmp_path / "journal.sqlite"), grid)

    assert {(report.status, report.code) for report in shown} == {("refused", "secure-refused")}
    assert "other weights" in shown[0].message
    assert record.committed == 0


def test_a_server_s_certificate_is_no_site_s() -> None:
    from gaitkeeper_shared.secure.identity import SiteIdentity
    from gaitkeeper_shared.trust.certificates import pem
    from gaitkeeper_shared.trust.keys import new_tls_key

    key = new_tls_key()
    certificate = authority("test").issue_server(key.public_key(), ("127.0.0.1",))
    server = SiteIdentity("Gaitkeeper coordinator", pem(certificate), key)
    with pytest.raises(GaitkeeperError, match="no site's"):
        Membership(authority("test").certificate).check(server.site, server.certificate, b"m", server.sign(b"m"))


@pytest.mark.parametrize(("sites", "holds"), [(3, True), (4, True), (5, False), (7, False)])
def test_a_run_in_which_two_sums_could_be_opened_is_not_begun(sites: int, holds: bool) -> None:
    study = parse_study(STUDY)
    if holds:
        check_one_sum_only(study, sites)
        return
    with pytest.raises(GaitkeeperError) as caught:
        check_one_sum_only(study, sites)
    assert caught.value.code == "secure-threshold"


def test_a_stage_is_answered_once_and_in_the_same_words_again(tmp_path: Path) -> None:
    grid = MaskedGrid(tmp_path, names(3))
    place = Place(study_hash(STUDY), "run", 1, 1)
    adverts = []
    for site in names(3):
        first, again = (grid.maskings[site].answer(grid.runtimes[site], "keys", StageRequest(place)) for _ in "12")
        assert first == again
        adverts.append(first.adverts[0])
    masking, runtime = grid.maskings["clinic-a"], grid.runtimes["clinic-a"]
    shown = StageRequest(place, adverts=tuple(adverts))
    assert masking.answer(runtime, "shares", shown) == masking.answer(runtime, "shares", shown)
    other = masking.answer(runtime, "shares", StageRequest(place, adverts=tuple(reversed(adverts))))
    assert (other.code, other.deals) == ("secure-refused", ())
    assert "in other words" in other.message


@pytest.mark.parametrize(
    "place", [Place("f" * 64, "run", 1, 1), Place(study_hash(STUDY), "run", 3, 1), Place(study_hash(STUDY), "", 1, 1)]
)
def test_no_keys_for_a_round_that_no_approved_study_has(place: Place, tmp_path: Path) -> None:
    grid = MaskedGrid(tmp_path, names(3))
    reply = grid.maskings["clinic-a"].answer(grid.runtimes["clinic-a"], "keys", StageRequest(place))
    assert reply.code
    assert reply.adverts == ()


def test_no_keys_where_the_study_sums_plainly(tmp_path: Path) -> None:
    plain = STUDY.replace(b"quorum = 3", b'quorum = 3\naggregation = "plain"')
    grid = MaskedGrid(tmp_path, names(3), study=plain)
    place = Place(study_hash(plain), "run", 1, 1)
    reply = grid.maskings["clinic-a"].answer(grid.runtimes["clinic-a"], "keys", StageRequest(place))
    assert reply.code == "secure-refused"
