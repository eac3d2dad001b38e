"""What leaves a site when a round is refused: never a word that was made of patients, and never exact counts."""

from __future__ import annotations

import dataclasses
import math
import string
from pathlib import Path
from typing import Any

import pytest
from training_fixtures import Site

from gaitkeeper_client.training import dpsgd, site_round
from gaitkeeper_client.training.refusals import LOCAL, PUBLIC_CODES, refusal
from gaitkeeper_client.training.site_round import run_round
from gaitkeeper_client.vault.ledger import Ledger
from gaitkeeper_shared.errors import GaitkeeperError, catalogue
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import Study


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Ledger(tmp_path / "ledger.sqlite"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GaitkeeperError("vault-recording-missing", pseudonym="p-7"), "vault-recording-missing"),
        (GaitkeeperError("ledger-damaged", path="/home/p-7", detail="p-7"), "ledger-damaged"),
        (RuntimeError("p-7 has 12 windows"), "training-failed"),
        (ValueError("p-7\np-7"), "training-failed"),
        (MemoryError(), "training-failed"),
    ],
)
@pytest.mark.parametrize("where", ["dataset", "train_private", "correct_people"])
def test_the_text_of_an_error_stays_here(
    site: Site,
    error: Exception,
    code: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(site if where == "dataset" else dpsgd, where, fail)
    reply = run_round(site, site.order(2), site.model().weights)
    assert (reply.report.site, reply.report.status, reply.report.code) == ("north", "refused", code)
    assert "p-7" not in reply.report.message
    assert reply.report.message
    assert reply.weights is None
    assert not reply.metrics
    if str(error):
        assert "p-7" in caplog.text  # for the people who look after the site


def test_public_reasons_are_told_and_are_made_of_public_words() -> None:
    public = GaitkeeperError("round-refused", why="it is late")
    assert refusal("north", public).report.message == public.message
    assert refusal("north", GaitkeeperError("study-not-toml", path="/home/x", detail="y")).report.message == LOCAL
    for code in PUBLIC_CODES:
        fields = {field for _, field, _, _ in string.Formatter().parse(catalogue()[code].message) if field}
        assert not fields & {"path", "pseudonym", "patient", "folder"}, code


def test_counts_without_noise_are_never_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = site.approved_study

    def exact(hash_: str) -> Study:  # no such study is parsed; a site does not rest on that
        study = signed(hash_)
        return dataclasses.replace(study, evaluation=dataclasses.replace(study.evaluation, epsilon=math.inf))

    monkeypatch.setattr(site, "approved_study", exact)
    for number in (1, 2, 4):
        reply = run_round(site, site.order(number), site.model().weights)
        assert (reply.report.status, reply.report.code) == ("refused", "privacy-switched-off")
    assert site.ledger.entries == ()
    site.allows_no_privacy = True
    assert run_round(site, site.order(4), site.model().weights).report.code == "privacy-switched-off"
    study = exact(site.order(1).study_hash)
    with pytest.raises(GaitkeeperError, match="without privacy"):
        site_round._evaluate(site.model().module(), study, site.people, plan(study))
