"""What ``coordinator runs``, ``deployments`` and ``rehearse`` print: whole, within 80 columns, epsilon with delta."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.rounds_fixtures import STUDY, ScriptedGrid, add_one, weights
from typer.testing import CliRunner

from gaitkeeper_server.cli import app
from gaitkeeper_server.cli.output import minute, print_table
from gaitkeeper_server.cli.rehearse_words import as_json, print_report
from gaitkeeper_server.daemon import journal_path
from gaitkeeper_server.enrolment.setup import create_coordinator
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.releases import deployments
from gaitkeeper_server.releases.deployments import Deployment
from gaitkeeper_server.rounds.conductor import Conductor, Pace
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.rehearsal import RehearsalReport
from gaitkeeper_shared.federation import RoundOrder, RoundReply, SiteReport, Weights
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.study import parse_study

RUN = "20261122-234807-abcdef"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> CoordinatorHome:
    """A coordinator with one run, in which a site refused throughout."""
    place = CoordinatorHome(tmp_path_factory.mktemp("coordinator") / "home")
    create_coordinator(place, "gait-north", ("127.0.0.1",))
    journal = Journal(journal_path(place))
    sites = ("clinic-a", "clinic-b", "clinic-c")
    journal.request_run(RUN, STUDY, sites, weights())

    def answer(site: str, order: RoundOrder, incoming: Weights) -> RoundReply:
        if site == "clinic-b":
            return RoundReply(SiteReport("", "refused", "vault-locked", "The vault is [red]locked."))
        metrics = {"evaluated": 400.0, "correct": 300.0}
        return replace(add_one(site, order, incoming), metrics=metrics)

    grid = ScriptedGrid(answer)
    pace = Pace(poll_s=0.005, look_s=0.02, look_again_s=0.1)
    Conductor(grid, journal, RUN, roster=grid.roster, pace=pace).conduct()  # type: ignore[arg-type]
    journal.set_published(RUN, 12)
    return place


def printed(home: CoordinatorHome, *arguments: str) -> list[str]:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home.path)], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_the_list_of_runs_is_a_table(home: CoordinatorHome) -> None:
    header, row = printed(home, "runs")
    assert header.split() == ["run", "study", "state", "rounds", "sites", "model"]
    assert row.split() == [RUN, "rounds", "degraded", "3/3", "3", "12"]


def test_a_run_tells_its_epsilon_with_its_delta_and_who_was_missing(home: CoordinatorHome) -> None:
    lines = printed(home, "runs", RUN)
    table = [line for line in lines if line.startswith(("1 ", "2 ", "3 ", "final "))]
    assert [" ".join(line.split()).split(" s ")[1] for line in table] == [
        "2/3 0.50 at delta 1e-05 -",
        "2/3 1.00 at delta 1e-05 0.75",
        "2/3 1.50 at delta 1e-05 0.75",
        "2/3 2.00 at delta 1e-05 0.75",
    ]
    assert "Round final: clinic-b refused: The vault is [red]locked." in lines
    assert max(map(len, table)) <= 80


def test_json_has_delta_and_the_refusals_own_code(home: CoordinatorHome) -> None:
    (run,) = json.loads("\n".join(printed(home, "runs", "--json")))
    assert run["epsilon_spent"] == {"clinic-a": 2.0, "clinic-c": 2.0}
    assert run["delta"] == 1e-5
    (refused,) = [site for site in run["rounds"][0]["sites"] if site["site"] == "clinic-b"]
    assert (refused["outcome"], refused["code"]) == ("refused", "vault-locked")


def test_deployments_fit_80_columns_and_name_refusals(home: CoordinatorHome, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = "2026-11-22T23:48:07.123456+00:00"
    rows = (
        Deployment("harbour", 1, "active", moment, moment, 1),
        Deployment("north", 2, "refused", moment, moment, 1, "release-signature", "It is not signed."),
        Deployment("a-clinic-with-a-name-that-is-far-too-long-for-anybody", None, "none", None, None, None),
    )
    monkeypatch.setattr(deployments, "deployments", lambda _: rows)
    lines = printed(home, "deployments")
    assert max(map(len, lines)) <= 80
    assert lines[1].split("  ")[-2:] == ["2026-11-22 23:48", "2026-11-22 23:48"]
    assert "far-too-long" in "".join(line.split()[0] for line in lines)
    assert lines[-1] == "north: [release-signature] It is not signed."


def test_a_cell_is_text_and_never_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("name", "value"), [("n" * 100, "[bold]x[/bold]")], folds="name")
    output = capsys.readouterr().out
    assert output.count("n") == 101  # and that of the header
    assert "[bold]x[/bold]" in output
    assert minute(None) == "-"


def test_a_rehearsal_says_that_the_deployment_learns_from_fewer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = parse_study(STUDY)
    bundle = ModelBundle.initial(ModelSpec.of(study, "0" * 64))
    report = RehearsalReport(4.5, 1e-5, 1.1, 3, {"site-1": 5}, 5, {"healthy": 3}, None, None, 1.0, bundle)
    print_report(report, study, 1, ())
    text = " ".join(capsys.readouterr().out.split())
    assert "keeps 25% of its patients out of training" in text
    assert "epsilon 4.50 at delta 1e-05" in text
    assert as_json(report, study, 1, ())["deployment_holdout"] == 0.25
    nobody = parse_study(STUDY + b"[evaluation]\nholdout = 0.0\n")
    print_report(report, nobody, 1, ())
    assert "out of training" not in capsys.readouterr().out
