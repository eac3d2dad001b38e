"""A site that deals shares of something else than it advertised: named, left out, and the round ends without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from tests.unit.secure_fixtures import STUDY, MaskedGrid, Rehearsed, authority, conduct, identity, names, plain_mean
from tests.unit.training_fixtures import Site

from gaitkeeper_client.training.masked import SiteMasking
from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_client.vault.ledger import Ledger, RoundKey
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.states import Outcome, RoundState, RunState, SiteOutcome
from gaitkeeper_server.rounds.unmask import Cast, false_deal, secrets_of
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.messages import StageRequest
from gaitkeeper_shared.secure.proofs import FalseDeal, check_false_deal
from gaitkeeper_shared.secure.shares import new_key
from gaitkeeper_shared.secure.statements import Place, Reveal, members_digest
from gaitkeeper_shared.study import study_hash

SITES = names(4)
LIAR = "clinic-b"
OTHERS = ("clinic-a", "clinic-c", "clinic-d")
PLACE = Place(study_hash(STUDY), "run", 1, 1)
RULES = MaskingRules(quorum=3, threshold=3, colluding=1)
MEMBERSHIP = Membership(authority("test").certificate)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def false_seed(attempt: MaskedAttempt) -> None:
    attempt._seed = bytes(32)


def false_key(attempt: MaskedAttempt) -> None:
    attempt._mask_key = new_key()


def lying(grid: MaskedGrid, site: str, how: Callable[[MaskedAttempt], None]) -> None:
    """From now on the site deals, in all open attempts, shares of something else than it advertised; signed rightly."""
    for item in grid.maskings[site]._open.values():
        if item.attempt._own_deal is None:
            how(item.attempt)


def told(journal: Journal, number: int) -> dict[str, SiteOutcome]:
    return {item.site: item for item in journal.outcomes("run", number)}


def expect_mean(journal: Journal, grid: MaskedGrid, number: int, members: tuple[str, ...]) -> None:
    found = next(journal.checkpoints("run", number))
    for name, array in plain_mean(grid, number, members).items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6)


def test_a_member_that_dealt_shares_of_another_seed_is_left_out_and_the_round_ends(
    journal: Journal, tmp_path: Path
) -> None:
    def script(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        return reply

    grid = MaskedGrid(tmp_path, SITES, script)

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    for number in (1, 2):
        expect_mean(journal, grid, number, OTHERS)
        liar = told(journal, number)[LIAR]
        assert (liar.outcome, liar.code) == (Outcome.FAILED, "secure-lied")
        assert {told(journal, number)[site].outcome for site in OTHERS} == {Outcome.INCLUDED}
    assert told(journal, 1)[LIAR].epsilon_spent == 0.5
    # Trained once; the second sum of round 1 is noted after the first.
    for site in OTHERS:
        kinds = Counter((entry.kind, entry.key.round) for entry in grid.runtimes[site].ledger.entries)
        assert kinds == {("reply", 1): 1, ("reply", 2): 1, ("sum", 1): 1, ("sum-2", 1): 1, ("sum", 2): 1}
    assert not [asked for asked in grid.asked if asked[0] == LIAR and asked[2] == 2]


def test_a_liar_that_fell_out_before_the_sum_does_not_keep_it_from_being_opened(
    journal: Journal, tmp_path: Path
) -> None:
    def script(site: str, stage: str, number: int, reply: Message) -> Message | None:
        if (site, stage, number) == (LIAR, "keys", 1):
            lying(grid, site, false_key)
        return None if (site, stage, number) == (LIAR, "input", 1) else reply

    grid = MaskedGrid(tmp_path, SITES, script)

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    expect_mean(journal, grid, 1, OTHERS)
    assert told(journal, 1)[LIAR].code == "secure-lied"
    kinds = Counter((entry.kind, entry.key.round) for entry in grid.runtimes["clinic-a"].ledger.entries)
    assert (kinds["sum", 1], kinds["sum-2", 1]) == (1, 0)


class KilledError(Exception):
    """The coordinator dies."""


@pytest.mark.parametrize("stage", ["keys", "unmask"])
def test_a_coordinator_killed_after_a_lie_goes_on_without_the_liar_also_where_sites_forgot(
    stage: str, journal: Journal, tmp_path: Path
) -> None:
    """The proof is in the journal: nobody but the coordinator has it once the sites were restarted."""
    asked: Counter[str] = Counter()

    def script(site: str, at: str, number: int, reply: Message) -> Message:
        asked[at] += site == "clinic-d"
        if (site, at) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        if (site, at, number) == ("clinic-d", stage, 1) and asked[at] == 2:
            raise KilledError
        return reply

    grid = MaskedGrid(tmp_path, SITES, script)
    with pytest.raises(KilledError):
        conduct(journal, grid)
    for site in SITES:
        grid.maskings[site] = grid.masking(site)

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    expect_mean(journal, grid, 1, OTHERS)
    assert told(journal, 1)[LIAR].code == "secure-lied"


def test_after_a_lie_no_smaller_sum_is_opened_and_a_site_that_comes_back_is_waited_for(
    journal: Journal, tmp_path: Path
) -> None:
    """The sum without the missing site as well would tell its update to whoever colludes with the liar."""
    inputs: Counter[str] = Counter()

    def script(site: str, stage: str, number: int, reply: Message) -> Message | None:
        if (site, stage) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        inputs[site] += (stage, number) == ("input", 1)
        return None if (site, stage, number) == ("clinic-e", "input", 1) and inputs[site] == 2 else reply

    sites = names(5)
    grid = MaskedGrid(tmp_path, sites, script, STUDY.replace(b"quorum = 3", b"quorum = 4"))

    record = conduct(journal, grid)

    # Four of five are left and all of them have to be in the sum: the third attempt has them.
    assert record.state is RunState.DEGRADED, record.detail
    expect_mean(journal, grid, 1, tuple(site for site in sites if site != LIAR))


def test_where_too_few_are_left_without_the_liar_the_run_ends_and_says_who_it_was(
    journal: Journal, tmp_path: Path
) -> None:
    def script(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        return reply

    grid = MaskedGrid(tmp_path, names(3), script)

    record = conduct(journal, grid)

    assert record.state is RunState.FAILED
    assert LIAR in record.detail
    assert record.committed == 0
    assert told(journal, 1)[LIAR].code == "secure-lied"


def test_a_liar_and_a_site_that_never_comes_back_cost_one_round_and_not_the_run(
    journal: Journal, tmp_path: Path
) -> None:
    """The sum without both could tell the missing one's update: no sum of that round is opened, the next one trains."""

    def script(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        if (stage, number) == ("unmask", 1):
            grid.present.pop("clinic-f", None)
        return reply

    sites, gone = names(6), {LIAR, "clinic-f"}
    grid = MaskedGrid(tmp_path, sites, script, STUDY.replace(b"quorum = 3", b"quorum = 4"))

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    assert record.detail.startswith("round 1 lost")
    assert [item.state for item in journal.rounds("run")] == [RoundState.LOST, RoundState.COMMITTED]
    assert not {item.site for item in told(journal, 1).values() if item.outcome in (Outcome.INCLUDED, Outcome.TRAINED)}
    lost, trained = (next(journal.checkpoints("run", number)) for number in (1, 2))
    for name, array in grid.initial.items():
        np.testing.assert_array_equal(lost[name], array)
        assert not np.array_equal(trained[name], array)
    expect_mean(journal, grid, 2, tuple(site for site in sites if site not in gone))
    for site in set(sites) - gone:
        kinds = Counter((entry.kind, entry.key.round) for entry in grid.runtimes[site].ledger.entries)
        assert (kinds["sum", 1], kinds["sum-2", 1], kinds["sum", 2]) == (1, 0, 1)


def test_a_liar_in_a_sum_of_hardly_enough_costs_one_round_where_others_were_away(
    journal: Journal, tmp_path: Path
) -> None:
    """That round's sum can be opened with nobody else; the next one has the site that was away."""
    away = {}

    def script(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage) == (LIAR, "keys"):
            lying(grid, site, false_seed)
        if (stage, number) == ("unmask", 1):
            grid.present.update(away)
        return reply

    grid = MaskedGrid(tmp_path, SITES, script)
    away["clinic-d"] = grid.present.pop("clinic-d")

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    assert [item.state for item in journal.rounds("run")] == [RoundState.LOST, RoundState.COMMITTED]
    expect_mean(journal, grid, 2, OTHERS)


# -- the proof


def played(lie: Callable[[MaskedAttempt], None] | None) -> tuple[Cast, dict[str, Reveal]]:
    game = Rehearsed(SITES, RULES, PLACE)
    if lie is not None:
        lie(game.attempts[LIAR])
    cast = game.cast()
    for site in SITES:
        game.accept(cast, site)
    return cast, game.reveals(cast, SITES, game.agreements(SITES))


def test_the_proof_against_a_liar_holds_and_none_can_be_made_against_an_honest_site() -> None:
    cast, reveals = played(false_seed)
    assert secrets_of(cast, SITES, reveals, 3).false == (LIAR,)
    check_false_deal(false_deal(cast, LIAR, reveals, 3), 3, MEMBERSHIP)

    cast, reveals = played(None)
    assert secrets_of(cast, SITES, reveals, 3).false == ()
    true = false_deal(cast, LIAR, reveals, 3)
    restarted = MaskedAttempt(cast.place, RULES, identity(LIAR), MEMBERSHIP).advert
    other_adverts = tuple(restarted if advert.site == LIAR else advert for advert in cast.adverts)
    one, *rest = true.shares
    frames: dict[str, FalseDeal] = {
        "make the seed": true,
        "not the one that was dealt": replace(true, shares={**true.shares, one: b"x" * len(true.shares[one])}),
        "shares, not 3": replace(true, shares={peer: true.shares[peer] for peer in rest}),
        "not about the keys": replace(true, adverts=other_adverts),
        "cannot be believed": replace(true, deal=replace(true.deal, commitments={})),
        "its signature": replace(true, place=replace(true.place, attempt=2)),
    }
    for words, frame in frames.items():
        with pytest.raises(GaitkeeperError, match=words) as caught:
            check_false_deal(frame, 3, MEMBERSHIP)
        assert caught.value.code in ("secure-refused", "secure-peer-untrusted")


def test_a_site_opens_the_sum_without_a_liar_for_a_proof_only_and_never_one_without_somebody_else(
    tmp_path: Path,
) -> None:
    """A coordinator that says somebody lied, without the proof or to leave out somebody else, is refused."""
    cast, reveals = played(false_seed)
    proof = false_deal(cast, LIAR, reveals, 3)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    runtime = Site(ledger, STUDY, "clinic-a")
    masking = SiteMasking(lambda: identity("clinic-a"), lambda: MEMBERSHIP)
    key = RoundKey(PLACE.study_hash, PLACE.run, PLACE.round)

    def opens(members: tuple[str, ...], *proofs: FalseDeal, number: int = 1) -> None:
        request = StageRequest(replace(PLACE, round=number, attempt=2), members=members, proofs=proofs)
        ledger.allow_sum(key, members_digest(members), masking._sums_with_liars(runtime, request))

    opens(SITES)
    honest_cast, honest_reveals = played(None)
    honest = false_deal(honest_cast, LIAR, honest_reveals, 3)
    refused: list[tuple[str, Callable[[], None]]] = [
        ("another sum", lambda: opens(OTHERS)),
        ("another sum", lambda: opens(OTHERS[:2], proof)),
        ("does not hold", lambda: opens(OTHERS, honest)),
        ("another round", lambda: opens(OTHERS, proof, number=2)),
        ("accused twice", lambda: opens(OTHERS, proof, proof)),
        ("in the sum", lambda: opens(SITES, proof)),
    ]
    for words, asked in refused:
        with pytest.raises(GaitkeeperError, match=words) as caught:
            asked()
        assert caught.value.code == "secure-refused"
    opens(OTHERS, proof)
    opens(OTHERS, proof)
    assert [entry.kind for entry in Ledger(tmp_path / "ledger.sqlite").entries] == ["sum", "sum-2"]
    with pytest.raises(GaitkeeperError, match="another sum"):
        opens(SITES)
