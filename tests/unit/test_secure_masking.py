"""The masks: sums are exact whoever falls out when, and whoever does not keep to the protocol is found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.secure_fixtures import (
    MODEL,
    PLACE,
    Rehearsed,
    authority,
    identity,
    names,
    play,
    sealed_nothing,
    vectors,
)

from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_server.rounds.unmask import check_deal, check_reveal, open_sum
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.secure.arithmetic import (
    FRACTION_BITS,
    LARGEST,
    decode_mean,
    encode,
    mask,
    model_digest,
    pair_mask,
)
from gaitkeeper_shared.secure.codec import pack, unpack
from gaitkeeper_shared.secure.identity import Membership
from gaitkeeper_shared.secure.statements import Advert, Deal, Place, Reveal

RULES = MaskingRules(quorum=3, threshold=3, colluding=1)


@st.composite
def dropouts(draw: st.DrawFn) -> tuple[int, MaskingRules, tuple[frozenset[str], ...]]:
    """Sites, a study's numbers, and who falls out before which stage: never more than the study allows."""
    count = draw(st.integers(3, 6))
    colluding = draw(st.integers(0, count - 3))
    least = (count + colluding) // 2 + 1
    threshold = draw(st.integers(max(2, least), count))
    quorum = draw(st.integers(max(threshold, colluding + 2), count))
    order = draw(st.permutations(names(count)))
    early = draw(st.integers(0, count - quorum))
    late = draw(st.integers(0, (count - early) - threshold))
    stage_of = [draw(st.integers(0, 1)) for _ in range(early)] + [draw(st.integers(2, 3)) for _ in range(late)]
    gone = tuple(
        frozenset(site for site, when in zip(order, stage_of, strict=False) if when == stage) for stage in range(4)
    )
    return count, MaskingRules(quorum, threshold, colluding), gone


@settings(max_examples=25, deadline=None)
@given(dropouts(), st.integers(0, 2**32 - 1))
def test_the_sum_is_exact_whoever_falls_out_when(
    case: tuple[int, MaskingRules, tuple[frozenset[str], ...]], seed: int
) -> None:
    count, rules, gone = case
    updates = vectors(names(count), 33, seed)

    total, members = play(updates, rules, gone)

    assert set(members) == set(updates) - gone[0] - gone[1]
    np.testing.assert_array_equal(total, sum((updates[site] for site in members), np.zeros(33, np.uint64)))


def test_a_masked_vector_tells_nothing_of_what_is_under_it() -> None:
    game = Rehearsed(names(3), RULES)
    cast = game.cast()
    game.accept(cast, "clinic-a")
    zeros = np.zeros(4096, np.uint64)

    masked = game.attempts["clinic-a"].masked(zeros, MODEL)

    bits = np.unpackbits(masked.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.01
    assert len(set(masked.tolist())) == masked.size


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=2 * 12).filter(lambda v: len(v) % 2 == 0))
def test_weights_come_back_to_a_step_of_the_quantiser(values: list[float]) -> None:
    half = len(values) // 2
    models = [{"b": np.array(part, np.float64), "a": np.zeros((2, 1))} for part in (values[:half], values[half:])]
    total = encode(models[0]) + encode(models[1])

    mean = decode_mean(total, 2, models[0])

    assert list(mean) == ["b", "a"]
    expected = (models[0]["b"] + models[1]["b"]) / 2
    np.testing.assert_allclose(mean["b"], expected, rtol=0, atol=2.0**-FRACTION_BITS)


def test_what_is_no_number_cannot_be_masked() -> None:
    with pytest.raises(GaitkeeperError, match="no number"):
        encode({"a": np.array([np.nan])})


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e6, -1e30, LARGEST])
def test_a_trained_weight_that_became_too_large_stays_at_the_largest(value: float) -> None:
    """A refusal would tell of the patients how large it became."""
    mean = decode_mean(encode({"a": np.array([value, 1.0])}), 1, {"a": np.zeros(2)})
    np.testing.assert_array_equal(mean["a"], [np.copysign(LARGEST, value), 1.0])


def test_the_digest_of_a_model_is_of_all_that_is_in_it_and_of_no_order() -> None:
    one = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
    same = {"b": one["b"].copy(), "a": np.asfortranarray(one["a"])}
    others = [
        {**one, "a": one["a"].reshape(3, 2)},
        {**one, "b": np.zeros(2, np.int32)},
        {**one, "b": np.array([0.0, 1e-30], np.float32)},
        {"a": one["a"], "c": one["b"]},
        {"a": one["a"]},
    ]
    assert model_digest(one) == model_digest(same)
    assert len({model_digest(weights) for weights in [one, *others]}) == 6


@pytest.mark.parametrize("gone", [(), ("clinic-d",)])
@pytest.mark.parametrize("alone", [False, True])
def test_a_site_that_was_given_other_weights_is_in_no_readable_sum(gone: tuple[str, ...], alone: bool) -> None:
    game, updates = Rehearsed(names(4), RULES), vectors(names(4), 64, 1)
    cast = game.cast()
    masked = {}
    for site in game.sites:
        game.accept(cast, site)
        if site not in gone:
            masked[site] = game.attempts[site].masked(
                updates[site], "0" * 64 if alone and site == "clinic-b" else MODEL
            )
    members = tuple(masked)
    reveals = game.reveals(cast, members, game.agreements(members))
    expected = sum((updates[site] for site in members), np.zeros(64, np.uint64))

    for model in (MODEL, "0" * 64):
        total = open_sum(cast, members, masked.values(), reveals, RULES.threshold, model)
        readable = not alone and (model == MODEL or not gone)
        assert np.array_equal(total, expected) == readable
        assert readable or not (total == expected).any()


def test_masks_of_a_pair_cancel_and_differ_by_seed_and_label() -> None:
    one = pair_mask(b"s", b"l", 50, own="a", other="b")
    np.testing.assert_array_equal(one + pair_mask(b"s", b"l", 50, own="b", other="a"), np.zeros(50, np.uint64))
    assert not np.array_equal(mask(b"s", b"l", 50), mask(b"s", b"k", 50))
    assert not np.array_equal(mask(b"s", b"l", 50), mask(b"t", b"l", 50))


def refused(code: str, words: str):  # type: ignore[no-untyped-def]
    return pytest.raises(GaitkeeperError, match=words) if code == "" else _Refused(code, words)


class _Refused:
    """``pytest.raises`` with the catalogue's code."""

    def __init__(self, code: str, words: str) -> None:
        self._code, self._raises = code, pytest.raises(GaitkeeperError, match=words)

    def __enter__(self) -> None:
        self._caught = self._raises.__enter__()

    def __exit__(self, *details: object) -> bool | None:
        done = self._raises.__exit__(*details)  # type: ignore[arg-type]
        assert self._caught.value.code == self._code
        return done


def test_keys_of_a_stranger_in_between_are_refused() -> None:
    """A coordinator that puts keys of its own in place of a clinic's, signed by whatever it has."""
    game = Rehearsed(names(3), RULES)
    mine, theirs, third = (game.attempts[site].advert for site in game.sites)
    strangers = identity("clinic-b", "other root")
    stranger = MaskedAttempt(PLACE, RULES, strangers, Membership(authority("test").certificate))
    colleague = MaskedAttempt(PLACE, RULES, identity("clinic-c"), Membership(authority("test").certificate))
    for swapped in (
        dataclasses.replace(theirs, mask_key=stranger.advert.mask_key),
        stranger.advert,
        dataclasses.replace(colleague.advert, site="clinic-b"),
        dataclasses.replace(theirs, signature=b""),
    ):
        with refused("secure-peer-untrusted", "clinic-b"):
            game.attempts["clinic-a"].deal((mine, swapped, third))


def test_keys_of_another_attempt_are_refused() -> None:
    game = Rehearsed(names(3), RULES)
    again = Rehearsed(names(3), RULES, Place("0" * 64, "run", 1, 2))
    adverts = (game.attempts["clinic-a"].advert, again.attempts["clinic-b"].advert, game.attempts["clinic-c"].advert)
    with refused("secure-peer-untrusted", "signature"):
        game.attempts["clinic-a"].deal(adverts)


def test_sites_that_were_shown_different_keys_notice() -> None:
    game, other = Rehearsed(names(4), RULES), Rehearsed(names(4), RULES)
    adverts = tuple(game.attempts[site].advert for site in game.sites)
    split = (*adverts[:3], other.attempts["clinic-d"].advert)
    deals = [game.attempts[site].deal(split if site == "clinic-b" else adverts) for site in game.sites]

    with refused("secure-peer-untrusted", "other keys"):
        game.attempts["clinic-a"].accept([deal.for_peer("clinic-a") for deal in deals])


@pytest.mark.parametrize(("sites", "rules"), [(2, RULES), (5, RULES), (4, MaskingRules(3, 2, 0))])
def test_too_few_sites_or_shares_for_one_sum_only_are_refused(sites: int, rules: MaskingRules) -> None:
    game = Rehearsed(names(sites), rules)
    with refused("secure-refused", "sites take part|two different sums"):
        game.cast()


def test_a_sum_of_few_and_a_sum_without_oneself_are_not_agreed_on() -> None:
    game = Rehearsed(names(4), RULES)
    cast = game.cast()
    game.accept(cast, "clinic-a")
    for members in (("clinic-a", "clinic-b"), names(4)[1:], ("clinic-a", "clinic-b", "clinic-z"), ("clinic-a",) * 3):
        with refused("secure-refused", "sum"):
            game.attempts["clinic-a"].agree(members)


def test_shares_are_given_for_one_agreed_sum_and_of_one_kind() -> None:
    game = Rehearsed(names(4), RULES)
    cast = game.cast()
    for site in game.sites:
        game.accept(cast, site)
    members = names(4)[:3]
    agreements = game.agreements(members)
    opened = game.attempts["clinic-a"].reveal(members, agreements)

    assert set(opened.seed_shares) == set(members)
    assert set(opened.key_shares) == {"clinic-d"}
    with refused("secure-refused", "another sum"):
        game.attempts["clinic-a"].reveal(names(4), agreements)
    with refused("secure-refused", "agreed on the sum"):
        game.attempts["clinic-b"].reveal(members, {"clinic-b": agreements["clinic-b"]})
    forged = {**agreements, "clinic-c": agreements["clinic-b"]}
    with refused("secure-peer-untrusted", "clinic-c"):
        game.attempts["clinic-b"].reveal(members, forged)


def test_the_sum_of_all_is_opened_without_agreement_and_no_other_after_it() -> None:
    game = Rehearsed(names(4), RULES)
    cast = game.cast()
    for site in game.sites:
        game.accept(cast, site)
    opened = game.attempts["clinic-a"].reveal(names(4), {})

    assert (set(opened.seed_shares), dict(opened.key_shares)) == (set(names(4)), {})
    with refused("secure-refused", "another sum"):
        game.attempts["clinic-a"].agree(names(4)[:3])
    game.attempts["clinic-b"].agree(names(4)[:3])
    with refused("secure-refused", "another sum"):
        game.attempts["clinic-b"].reveal(names(4), {})
    with refused("secure-refused", "another sum"):
        game.attempts["clinic-c"].reveal(names(4)[:3], {})


def test_false_shares_are_noticed_by_who_gets_them() -> None:
    game = Rehearsed(names(3), RULES)
    cast = game.cast()
    deals = [sealed_nothing(deal, "clinic-a") if deal.site == "clinic-b" else deal for deal in cast.deals]

    assert game.attempts["clinic-a"].accept([deal.for_peer("clinic-a") for deal in deals]) == ("clinic-b",)
    with refused("secure-lied", "clinic-b"):
        check_deal(deals[1], PLACE, cast.adverts)


def test_a_false_share_is_traced_to_who_gives_it() -> None:
    game = Rehearsed(names(4), RULES)
    cast = game.cast()
    for site in game.sites:
        game.accept(cast, site)
    members = names(4)[:3]
    honest = game.reveals(cast, members, game.agreements(members))
    share = bytearray(honest["clinic-b"].seed_shares["clinic-a"])
    share[-1] ^= 1
    liar = Reveal("clinic-b", {**honest["clinic-b"].seed_shares, "clinic-a": bytes(share)}, {"clinic-d": b""})
    greedy = Reveal("clinic-b", dict.fromkeys(names(4), b""), {})
    for reveal in (liar, greedy):
        with refused("secure-lied", "clinic-b"):
            check_reveal(cast, members, reveal)


def test_a_dealer_of_shares_of_something_else_is_named() -> None:
    """Its shares hold against its own commitments and make another seed than the one it promised."""
    game = Rehearsed(names(3), RULES)
    game.attempts["clinic-b"]._seed = bytes(32)
    cast = game.cast()
    vectors_ = vectors(names(3), 5, 0)
    masked = []
    for site in game.sites:
        game.accept(cast, site)
        masked.append(game.attempts[site].masked(vectors_[site], MODEL))
    reveals = game.reveals(cast, names(3), game.agreements(names(3)))
    with refused("secure-lied", "clinic-b"):
        open_sum(cast, names(3), masked, reveals, RULES.threshold, MODEL)


def test_statements_survive_the_wire_and_rubbish_does_not() -> None:
    game = Rehearsed(names(3), RULES)
    cast = game.cast()
    assert unpack(Advert, pack(cast.adverts[0])) == cast.adverts[0]
    assert unpack(Deal, pack(cast.deals[1])) == cast.deals[1]
    for rubbish in (b"", b"[]", b'{"site": 1}', b"\xff", pack(cast.deals[0]), b"[" * 100_000):
        with pytest.raises(GaitkeeperError) as caught:
            unpack(Advert, rubbish)
        assert caught.value.code == "round-message-unusable"
