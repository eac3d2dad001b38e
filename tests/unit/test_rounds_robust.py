"""Robust rules over plain updates: Flower's own, by name in the study, and what one liar can do under each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rounds_fixtures import SITES, STUDY, ScriptedGrid, add_one, weights

from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal, weights_to_bytes
from gaitkeeper_server.rounds.robust import combined
from gaitkeeper_server.rounds.states import RunState
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import RoundOrder, RoundReply, Weights
from gaitkeeper_shared.study import parse_study
from gaitkeeper_shared.study_federation import Federation

RULES = {name: Federation(quorum=5, combine=name, byzantine=1) for name in ("median", "trimmed-mean", "krum")}


@pytest.mark.parametrize("rule", RULES)
@given(
    honest=st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=6),
    lie=st.floats(-1e6, 1e6, width=32),
    place=st.integers(0, 4),
)
def test_one_liar_moves_no_robust_result_out_of_the_range_of_the_honest(
    rule: str, honest: list[float], lie: float, place: int
) -> None:
    values = [*honest[:place], lie, *honest[place:]]
    made = combined(RULES[rule], [weights(value) for value in values])
    for name, array in made.items():
        assert array.dtype == np.float32
        assert array.shape == weights()[name].shape
        assert np.all(array >= min(honest) - 1e-6)
        assert np.all(array <= max(honest) + 1e-6)
    mean = combined(Federation(), [weights(value) for value in values])
    np.testing.assert_allclose(mean["bias"], np.mean(values), rtol=1e-5, atol=1e-6)


def test_each_rule_is_the_one_of_its_name() -> None:
    values = [0.0, 1.0, 2.0, 4.0, 100.0]
    updates = [weights(value) for value in values]
    found = {rule: float(combined(federation, updates)["bias"][0]) for rule, federation in RULES.items()}
    # Sum of squared distances to the n - f - 2 = 2 nearest: 5, 2, 5, 13 and more.
    assert found == {"median": 2.0, "trimmed-mean": pytest.approx(7 / 3), "krum": 1.0}
    # As few sites as the rule allows: all but one are cut.
    least = Federation(quorum=3, combine="trimmed-mean", byzantine=1)
    assert combined(least, updates[:3])["bias"][0] == 1.0


def test_a_run_counts_by_the_studys_rule_and_the_journal_gives_the_same_bits(tmp_path: Path) -> None:
    def liar(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        reply = add_one(site, order, incoming)
        if site != "clinic-c" or reply.weights is None:
            return reply
        return RoundReply(reply.report, {name: array + np.float32(50) for name, array in reply.weights.items()})

    journal = Journal(tmp_path / "journal.sqlite")
    lines = b'aggregation = "plain"\nquorum = 3\ncombine = "median"\nbyzantine = 1\n'
    study = STUDY.replace(b"quorum = 2\n", lines).replace(b"rounds = 3", b"rounds = 1")
    journal.request_run("run", study, SITES, weights())
    grid = ScriptedGrid(liar)
    state = Conductor(grid, journal, "run", roster=grid.roster, pace=Pace(poll_s=0.005)).conduct()  # type: ignore[arg-type]
    assert state is RunState.SUCCEEDED
    made = next(journal.checkpoints("run", 1))
    np.testing.assert_allclose(made["bias"], 4 / 3, rtol=1e-6)  # that of clinic-b, which is in the middle
    federation = parse_study(study).federation
    again = combined(federation, journal.each_reply("run", 1))
    assert weights_to_bytes(again) == weights_to_bytes(made)


def test_robust_rules_and_masks_exclude_each_other_when_a_study_is_read() -> None:
    robust = b'combine = "median"\nbyzantine = 1\n'
    masked = STUDY.replace(b"quorum = 2\n", b"quorum = 3\n" + robust)
    with pytest.raises(GaitkeeperError, match="masks hide") as error:
        parse_study(masked)
    assert error.value.code == "study-bad-value"
    parse_study(masked + b'aggregation = "plain"\n')
