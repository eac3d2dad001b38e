"""Clinics that a coordinator invents: its own root certifies them, and three of them would unmask the fourth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.secure_fixtures import STUDY, MaskedGrid, authority, conduct, identity, names

from gaitkeeper_client.consortium.policy import default_policy, load_policy
from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.training.peers import PeerPins
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.members import roster_of_members, taking_part
from gaitkeeper_server.rounds.states import Outcome, RunState
from gaitkeeper_server.store import SiteRecord
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.study import parse_study
from gaitkeeper_shared.trust.certificates import public_key_digest, read_certificate

REAL = names(3)
INVENTED = ("clinic-x", "clinic-y")
VICTIM = "clinic-a"


def key(site: str) -> str:
    return public_key_digest(read_certificate(identity(site).certificate, what=site))


def listing(*sites: str) -> bytes:
    return STUDY + b"[federation.sites]\n" + "".join(f'{site} = "{key(site)}"\n' for site in sites).encode()


def play(folder: Path, study: bytes, *, known: tuple[str, ...] | None = None) -> tuple[RunState, MaskedGrid, Journal]:
    """The coordinator asks its victim to mask with nobody but its own inventions.

    ``known``: whom the victim masked with before, where its policy takes nobody who is new; None: it takes everybody.
    """
    folder.mkdir()
    grid = MaskedGrid(folder, (VICTIM, *INVENTED), study=study)
    peers = folder / "peers.json"
    if known is not None:
        der = {site: key(site) for site in known}
        peers.write_text(json.dumps(der))
    pins = PeerPins(peers, take_new=known is None)
    membership = Membership(authority("test").certificate, pins=pins)
    grid.maskings[VICTIM] = SiteMasking(lambda: identity(VICTIM), lambda: membership)
    # The inventions do as their maker likes.
    for site in INVENTED:
        blind = Membership(authority("test").certificate)
        blind.of_study = lambda _, blind=blind: blind  # type: ignore[method-assign,misc]
        grid.maskings[site] = SiteMasking(lambda site=site: identity(site), lambda blind=blind: blind)  # type: ignore[misc]
    journal = Journal(folder / "journal.sqlite")
    return conduct(journal, grid).state, grid, journal


def test_two_invented_clinics_unmask_nobody_where_the_study_lists_its_members(tmp_path: Path) -> None:
    # Without a list and without a word of the policy they would: the sum of three is the victim's update and their own.
    state, grid, _ = play(tmp_path / "believed", STUDY)
    assert state is RunState.SUCCEEDED
    assert [entry.kind for entry in grid.runtimes[VICTIM].ledger.entries].count("sum") == 2

    state, grid, journal = play(tmp_path / "listed", listing(*REAL))
    assert state is RunState.PAUSED
    (told,) = [item for item in journal.outcomes("run", 1) if item.site == VICTIM]
    assert (told.outcome, told.code) == (Outcome.REFUSED, "secure-peer-untrusted")
    assert "clinic-x" in told.message
    assert "not among the members that the study lists" in told.message
    # Nothing was trained, charged or pinned.
    assert not grid.runtimes[VICTIM].ledger.entries
    assert set(json.loads((tmp_path / "listed" / "peers.json").read_text())) <= {VICTIM}


def test_two_invented_clinics_unmask_nobody_where_the_policy_takes_no_new_ones(tmp_path: Path) -> None:
    state, grid, journal = play(tmp_path / "known", STUDY, known=REAL)
    assert state is RunState.PAUSED
    (told,) = [item for item in journal.outcomes("run", 1) if item.site == VICTIM]
    assert "takes no new ones" in told.message
    assert not grid.runtimes[VICTIM].ledger.entries


def test_a_listed_name_with_another_key_is_a_stranger_too(tmp_path: Path) -> None:
    study = parse_study(listing(*REAL))
    membership = Membership(authority("test").certificate).of_study(study)
    genuine = identity("clinic-b")
    membership.check("clinic-b", genuine.certificate, b"m", genuine.sign(b"m"))
    # A list with the key of some other clinic-b stands for a study from before an exchange.
    other = parse_study(listing(*REAL).replace(key("clinic-b").encode(), b"0" * 64))
    with pytest.raises(GaitkeeperError, match="its key is not the one"):
        Membership(authority("test").certificate).of_study(other).check(
            "clinic-b", genuine.certificate, b"m", genuine.sign(b"m")
        )
    # Whom a study lists is taken in and pinned also where the policy takes nobody new: people here approved the list.
    pins = PeerPins(tmp_path / "peers.json", take_new=False)
    Membership(authority("test").certificate, pins=pins).of_study(study).check(
        "clinic-b", genuine.certificate, b"m", genuine.sign(b"m")
    )
    assert json.loads((tmp_path / "peers.json").read_text()) == {"clinic-b": key("clinic-b")}


def test_a_run_is_for_the_members_that_the_study_lists_with_their_keys() -> None:
    def record(site: str, certificate: bytes) -> SiteRecord:
        return SiteRecord(site, "enrolled", "", None, certificate, None, None)

    enrolled = [record(site, identity(site).certificate) for site in ("clinic-a", "clinic-x")]
    enrolled.insert(1, record("clinic-b", identity("clinic-b", "another").certificate))
    assert taking_part(parse_study(listing(*REAL)), enrolled) == ["clinic-a"]
    assert taking_part(parse_study(STUDY), enrolled) == ["clinic-a", "clinic-b", "clinic-x"]


def test_who_has_a_members_name_and_another_key_is_absent_from_each_round(tmp_path: Path) -> None:
    enrolled = [
        SiteRecord("clinic-a", "enrolled", "", None, identity("clinic-a").certificate, None, None),
        SiteRecord("clinic-b", "enrolled", "", None, identity("clinic-b", "another").certificate, None, None),
    ]
    grid = MaskedGrid(tmp_path, names(3), study=listing(*REAL))
    for study, there in ((STUDY, set(REAL)), (listing(*REAL), {"clinic-a"})):
        assert set(roster_of_members(parse_study(study), lambda: enrolled, grid.roster)(None)) == there  # type: ignore[arg-type]


def test_a_policy_may_ask_for_members_and_one_of_an_earlier_version_still_holds(tmp_path: Path) -> None:
    home = SiteHome(tmp_path)

    def policy(text: bytes) -> None:
        home.policy_file.write_bytes(text)

    policy(default_policy().replace(b"require_members = false", b"require_members = true"))
    load_policy(home).check_study(parse_study(listing(*REAL)), "0" * 64)
    with pytest.raises(GaitkeeperError) as error:
        load_policy(home).check_study(parse_study(STUDY), "0" * 64)
    assert (error.value.code, error.value.values["rule"]) == ("policy-refuses", "studies.require_members")
    policy(default_policy().replace(b'new = "pin"', b'new = "refuse"'))
    assert not load_policy(home).take_new_peers
    older = (
        default_policy()
        .replace(b"require_members = false\n", b"")
        .replace(b"[peers]", b"")
        .replace(b'new = "pin"', b"")
    )
    policy(older)
    assert load_policy(home).take_new_peers
    for wrong in (b'new = "perhaps"', b'other = "pin"', b"new = true"):
        policy(default_policy().replace(b'new = "pin"', wrong))
        with pytest.raises(GaitkeeperError) as error:
            load_policy(home)
        assert error.value.code == "policy-damaged"
