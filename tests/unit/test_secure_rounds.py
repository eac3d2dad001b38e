"""Masked rounds from the order to the sum: real sites and conductor, in one process, with dropouts, liars and kills."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from tests.unit.secure_fixtures import STUDY, Conductor, MaskedGrid, as_it_is, conduct, names, plain_mean

from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.server_step import State, server_step
from gaitkeeper_server.rounds.states import Outcome, RunState, Wish
from gaitkeeper_shared.federation import decode_reply as decode_round_reply
from gaitkeeper_shared.federation import encode_reply
from gaitkeeper_shared.study import parse_study

SITES = names(4)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def outcomes(journal: Journal, number: int) -> dict[str, Outcome]:
    return {item.site: item.outcome for item in journal.outcomes("run", number)}


def weights_after(journal: Journal, number: int) -> Any:
    return next(journal.checkpoints("run", number))


def test_a_masked_run_makes_the_mean_of_all_updates_and_the_journal_holds_none_of_them(
    journal: Journal, tmp_path: Path
) -> None:
    grid = MaskedGrid(tmp_path, SITES, training=True)

    record = conduct(journal, grid)

    assert record.state is RunState.SUCCEEDED, record.detail
    for number in (1, 2):
        expected = plain_mean(grid, number, SITES)
        found = weights_after(journal, number)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6)
    assert list(journal.each_reply("run", 1)) == []
    stages = Counter(stage for site, stage, number in grid.asked if number == 2)
    # The second round was prepared on the way: each site heard its order and the unmasking.
    assert stages == {"input": 4, "unmask": 4}
    for runtime in grid.runtimes.values():
        kinds = Counter(entry.kind for entry in runtime.ledger.entries)
        assert kinds == {"train": 2, "reply": 2, "sum": 2}


def test_no_message_of_a_site_holds_its_update(journal: Journal, tmp_path: Path) -> None:
    def watched(site: str, stage: str, number: int, reply: Message) -> Message:
        if stage == "input":
            vector = (decode_round_reply(reply.content).weights or {})["masked"]
            bits = np.unpackbits(vector.view(np.uint8))
            # Six deviations of that many fair bits; an update without its mask has hardly a third of them set.
            assert abs(float(bits.mean()) - 0.5) < 3.0 / np.sqrt(bits.size)
        return reply

    assert conduct(journal, MaskedGrid(tmp_path, SITES, watched)).state is RunState.SUCCEEDED


@pytest.mark.parametrize("stage", ["keys", "shares", "input", "unmask"])
def test_a_site_may_vanish_at_any_stage(stage: str, journal: Journal, tmp_path: Path) -> None:
    def vanishing(site: str, at: str, number: int, reply: Message) -> Message | None:
        return None if (site, number) == ("clinic-b", 1) and at == stage else reply

    grid = MaskedGrid(tmp_path, SITES, vanishing)

    record = conduct(journal, grid)

    assert record.state in (RunState.SUCCEEDED, RunState.DEGRADED), record.detail
    late = stage == "unmask"
    assert outcomes(journal, 1)["clinic-b"] is (Outcome.INCLUDED if late else Outcome.LATE)
    members = SITES if late else tuple(site for site in SITES if site != "clinic-b")
    expected = plain_mean(grid, 1, members)
    for name, array in expected.items():
        np.testing.assert_allclose(weights_after(journal, 1)[name], array, rtol=0, atol=1e-6)
    assert outcomes(journal, 2)["clinic-b"] is Outcome.INCLUDED


def test_one_site_may_vanish_with_its_update_and_another_over_the_agreement(journal: Journal, tmp_path: Path) -> None:
    study = STUDY.replace(b"patients_per_site = 8", b"patients_per_site = 8\ncolluding = 0")

    def vanishing(site: str, stage: str, number: int, reply: Message) -> Message | None:
        return None if (site, stage, number) in (("clinic-a", "input", 1), ("clinic-b", "agree", 1)) else reply

    grid = MaskedGrid(tmp_path, names(5), vanishing, study)

    record = conduct(journal, grid)

    assert record.state is RunState.DEGRADED, record.detail
    for name, array in plain_mean(grid, 1, names(5)[1:]).items():
        np.testing.assert_allclose(weights_after(journal, 1)[name], array, rtol=0, atol=1e-6)


def test_two_of_four_vanishing_pause_the_run_without_a_sum_and_resumed_it_opens_the_same_one(
    journal: Journal, tmp_path: Path
) -> None:
    away = set(SITES[:2])

    def vanishing(site: str, stage: str, number: int, reply: Message) -> Message | None:
        return None if site in away and stage == "unmask" else reply

    grid = MaskedGrid(tmp_path, SITES, vanishing)
    record = conduct(journal, grid)

    assert record.paused_itself
    assert "could not be unmasked" in record.detail
    assert journal.run("run").committed == 0

    away.clear()
    journal.set_wish("run", Wish.GO)
    record = conduct(journal, grid)

    assert record.state is RunState.SUCCEEDED, record.detail
    for name, array in plain_mean(grid, 1, SITES).items():
        np.testing.assert_allclose(weights_after(journal, 1)[name], array, rtol=0, atol=1e-6)
    for runtime in grid.runtimes.values():
        # Nobody trained twice for a round, or opened a second sum of it.
        assert Counter(entry.kind for entry in runtime.ledger.entries) == {"reply": 2, "sum": 2}


def tampered(stage: str, old: bytes, site: str = "clinic-c") -> Any:
    """Let one site's replies to a stage hold something else than it made."""

    def script(who: str, at: str, number: int, reply: Message) -> Message:
        if (who, at, number) == (site, stage, 1):
            record = reply.content["masking"]
            body = bytes(record["body"])
            assert old in body
            place = body.index(old) + len(old)
            place = body.index(b'"', place) + 5 if body[place : place + 1] != b'"' else place + 5
            record["body"] = body[:place] + (b"A" if body[place : place + 1] != b"A" else b"B") + body[place + 1 :]
        return reply

    return script


@pytest.mark.parametrize(
    ("stage", "field"),
    [("keys", b'"mask_key":'), ("shares", b'"seed_share":'), ("shares", b'"sealed":{')],
)
def test_a_site_that_sends_something_else_is_named_and_left_out(
    stage: str, field: bytes, journal: Journal, tmp_path: Path
) -> None:
    record = conduct(journal, MaskedGrid(tmp_path, SITES, tampered(stage, field)))

    assert record.state in (RunState.SUCCEEDED, RunState.DEGRADED), record.detail
    told = {item.site: item for number in (1, 2) for item in journal.outcomes("run", number)}["clinic-c"]
    assert (told.outcome, told.code) == (Outcome.FAILED, "secure-lied"), told


def test_a_site_that_gives_a_false_share_is_named_and_left_out_of_the_next_round(
    journal: Journal, tmp_path: Path
) -> None:
    record = conduct(journal, MaskedGrid(tmp_path, SITES, tampered("unmask", b'"seed_shares":{')))

    assert record.state is RunState.DEGRADED, record.detail
    first = {item.site: item for item in journal.outcomes("run", 1)}["clinic-c"]
    assert (first.outcome, first.code) == (Outcome.INCLUDED, "secure-lied")
    assert outcomes(journal, 2)["clinic-c"] is Outcome.FAILED
    assert "clinic-c" in record.detail


@pytest.mark.parametrize(("spoilt", "states"), [({1}, ["lost", "committed", "committed"]), ({1, 2}, ["lost", "lost"])])
def test_rubbish_in_place_of_an_update_costs_a_round_and_does_not_become_the_model(
    spoilt: set[int], states: list[str], journal: Journal, tmp_path: Path
) -> None:
    def rubbish(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage) == ("clinic-a", "input") and number in spoilt:
            told = decode_round_reply(reply.content)
            vector = (told.weights or {})["masked"]
            random = np.random.default_rng(0).integers(0, 2**64, vector.size, dtype=np.uint64)
            content = encode_reply(type(told)(told.report, {"masked": random}, told.metrics, told.beside))
            return Message(content, reply_to=_order_of(reply))
        return reply

    grid = MaskedGrid(tmp_path, SITES, rubbish, STUDY.replace(b"rounds = 2", b"rounds = 3"))
    record = conduct(journal, grid)

    assert [str(item.state) for item in journal.rounds("run")] == states
    assert "lost" in record.detail
    for number in spoilt:
        # Nobody is included in a round that does not count, and none of it is in the model.
        assert set(outcomes(journal, number).values()) == {Outcome.FAILED}
        assert np.array_equal(weights_after(journal, number)["bias"], grid.initial["bias"])
    if len(spoilt) == 1:
        assert record.state is RunState.DEGRADED
        return
    # Two in a row, and a person has to look: everybody pays for each of them.
    assert record.paused_itself
    journal.set_wish("run", Wish.GO)
    assert conduct(journal, grid).state is RunState.DEGRADED
    assert [str(item.state) for item in journal.rounds("run")] == ["lost", "lost", "committed"]


def _order_of(reply: Message) -> Message:
    """A message that the reply answers, as far as replies need it."""
    from flwr.app import RecordDict

    order = Message(RecordDict(), reply.metadata.src_node_id, "train")
    order.metadata.__dict__["_message_id"] = reply.metadata.reply_to_message_id
    return order


class KilledError(Exception):
    """The coordinator dies."""


@pytest.mark.parametrize("stage", ["shares", "input", "agree", "unmask"])
def test_a_coordinator_killed_at_any_stage_goes_on(stage: str, tmp_path: Path) -> None:
    """The run goes on from the journal; nobody trains or pays twice, and sites open one sum only."""
    journal = Journal(tmp_path / "journal.sqlite")
    died = False

    def killing(site: str, at: str, number: int, reply: Message) -> Message | None:
        nonlocal died
        if at == stage and number == 1 and site == "clinic-d" and not died:
            died = True
            raise KilledError
        if stage == "agree" and (site, at, number) == ("clinic-a", "input", 1):
            return None
        return reply

    grid = MaskedGrid(tmp_path, SITES, killing)
    with pytest.raises(KilledError):
        conduct(journal, grid)

    record = conduct(journal, grid)

    members = SITES[1:] if stage == "agree" else SITES
    assert record.state is (RunState.DEGRADED if stage == "agree" else RunState.SUCCEEDED), record.detail
    expected = plain_mean(grid, 1, members)
    for name, array in expected.items():
        np.testing.assert_allclose(weights_after(journal, 1)[name], array, rtol=0, atol=1e-6)
    for site in members:
        kinds = Counter(entry.kind for entry in grid.runtimes[site].ledger.entries)
        assert kinds == {"reply": 2, "sum": 2}


def test_sites_that_were_all_restarted_after_agreeing_open_the_same_sum_with_fresh_keys(
    journal: Journal, tmp_path: Path
) -> None:
    restarted: set[str] = set()

    def restarting(site: str, stage: str, number: int, reply: Message) -> Message | None:
        if stage == "unmask" and site not in restarted:
            restarted.add(site)
            grid.maskings[site] = grid.masking(site)
            return None
        return reply

    grid = MaskedGrid(tmp_path, SITES, restarting)

    record = conduct(journal, grid)

    assert record.state is RunState.SUCCEEDED, record.detail


def test_a_site_restarted_before_its_order_is_in_the_round_all_the_same(journal: Journal, tmp_path: Path) -> None:
    def restarting(site: str, stage: str, number: int, reply: Message) -> Message:
        if (site, stage, number) == ("clinic-a", "unmask", 1):
            grid.maskings[site] = grid.masking(site)
        return reply

    grid = MaskedGrid(tmp_path, SITES, restarting)

    record = conduct(journal, grid)

    assert record.state is RunState.SUCCEEDED, record.detail
    assert set(outcomes(journal, 2).values()) == {Outcome.INCLUDED}


def test_a_plain_order_in_a_secure_study_brings_no_update(journal: Journal, tmp_path: Path) -> None:
    """A coordinator that asks for training without masks gets a report and nothing else."""
    seen = []

    def watched(site: str, stage: str, number: int, reply: Message) -> Message:
        seen.append(decode_round_reply(reply.content))
        return reply

    grid = MaskedGrid(tmp_path, SITES[:3], watched)
    journal.request_run("run", STUDY, SITES[:3], grid.initial)
    Conductor(grid, journal, "run", roster=grid.roster).conduct()  # type: ignore[arg-type]

    assert [reply.report.status for reply in seen] == ["trained"] * 3
    assert all(reply.weights is None for reply in seen)
    assert journal.run("run").state is RunState.PAUSED


@pytest.mark.parametrize("strategy", ["fedavg", "fedadam"])
def test_distributed_noise_and_an_optimiser_at_the_coordinator(strategy: str, tmp_path: Path) -> None:
    rounds = f'rounds = 3\nstrategy = "{strategy}"'.encode()
    study = STUDY.replace(b"rounds = 2", rounds).replace(
        b"patients_per_site = 8", b'patients_per_site = 8\ntrust = "distributed"'
    )
    journal = Journal(tmp_path / "journal.sqlite")
    grid = MaskedGrid(tmp_path, SITES, as_it_is, study, training=True)

    record = conduct(journal, grid)

    assert record.state is RunState.SUCCEEDED, record.detail
    checkpoints = [*journal.checkpoints("run", 0)]
    kept: State = {}
    for number in (1, 2, 3):
        mean = plain_mean(grid, number, SITES)
        current, before = checkpoints[number - 1], checkpoints[number - 2] if number > 1 else None
        stepped = server_step(parse_study(study), number, mean, current, before, kept)
        kept = stepped.state
        for name, array in stepped.weights.items():
            np.testing.assert_allclose(checkpoints[number][name], array, rtol=0, atol=1e-4)
            if strategy == "fedavg" and before is not None:
                step = current[name] - before[name]
                np.testing.assert_allclose(checkpoints[number][name], mean[name] + 0.9 * step, rtol=0, atol=1e-5)
    ledger = grid.runtimes["clinic-a"].ledger
    study_key = ledger.entries[0].key.study_hash
    promised, local = (ledger.study_epsilon(study_key, 1e-3, local=flag) for flag in (False, True))
    assert 0 < promised <= 4.0 < local
