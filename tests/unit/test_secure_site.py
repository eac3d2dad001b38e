"""What a site remembers of masked rounds: the one sum that it helped to open, and its peers' keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.secure_fixtures import STUDY, MaskedGrid, authority, identity, names

from gaitkeeper_client.training.peers import PeerPins
from gaitkeeper_client.vault.ledger import Ledger, RoundKey
from gaitkeeper_server.rounds.request import check_one_sum_only
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.messages import StageRequest
from gaitkeeper_shared.secure.statements import Place
from gaitkeeper_shared.study import parse_study, study_hash

KEY = RoundKey("s", "r", 1)


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
