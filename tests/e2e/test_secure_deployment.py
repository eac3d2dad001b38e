"""Masked rounds over real servers on loopback: a site dies at each stage, and the sums are right all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from tests.e2e.secure_fixtures import SITES, SecureDeployment

from gaitkeeper_server.rounds.states import Outcome, RunState

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROUNDS = 4
DEATHS = ((1, "clinic-b", "keys"), (1, "clinic-c", "shares"), (2, "clinic-d", "input"), (3, "clinic-a", "unmask"))
"""Rounds after the first are prepared on the way: they have no stages for keys and shares of their own."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureDeployment]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKED_FOLDER", "")
        patch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        made = SecureDeployment(tmp_path_factory.mktemp("secure"))
        try:
            made.start()
            yield made
        finally:
            made.children.stop()


def test_a_run_survives_the_death_of_a_site_at_each_stage_and_of_its_conductor(deployment: SecureDeployment) -> None:
    for number, site, stage in DEATHS:
        (deployment.folder / site / f"die-{stage}-{number}").touch()
    deployment.start_masked_run("masked", ROUNDS, deadline_s=40.0)

    for number, site, stage in DEATHS:
        deployment.wait((deployment.folder / site / f"died-{stage}-{number}").exists, 120)
        # What the site's own service does: a node must not wait for the reply of a dead executor.
        deployment.children.restart(f"{site}-node")
        if stage == "unmask":
            os.kill(deployment.pid("masked"), signal.SIGKILL)
    record = deployment.finish("masked", 90)

    assert record.state in (RunState.SUCCEEDED, RunState.DEGRADED), record.detail
    expected = 0.0
    for number in range(1, ROUNDS + 1):
        outcomes = {item.site: item.outcome for item in deployment.journal.outcomes("masked", number)}
        included = [site for site in SITES if outcomes[site] is Outcome.INCLUDED]
        assert len(included) >= 3, outcomes
        expected += float(np.mean([1.0 + SITES.index(site) for site in included]))
    checkpoint = deployment.journal.checkpoint("masked")
    assert checkpoint is not None
    np.testing.assert_allclose(checkpoint.weights["bias"], np.full(3, expected), rtol=1e-6)
    assert list(deployment.journal.each_reply("masked", 1)) == []
