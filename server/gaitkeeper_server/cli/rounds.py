"""``gaitkeeper coordinator`` start, train, runs, pause, resume and stop: the federation at work."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaitkeeper_server.cli.door import enter
from gaitkeeper_server.cli.output import print_table
from gaitkeeper_server.cli.setup import AsJson, Home
from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from gaitkeeper_server.home import CoordinatorHome
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_server.rounds.states import RoundRecord, RunRecord, SiteOutcome
    from gaitkeeper_shared.study import Study

RunId = Annotated[str, typer.Argument(help="The run's id, or its beginning.")]
_AWAY_S = 30.0
_PUBLISHED_WITHIN_S = 300.0
"""After the end of a run; the registry's process needs seconds."""


def register(app: typer.Typer) -> None:
    """Add these commands to ``gaitkeeper coordinator``."""
    for command in (start, train, runs, pause, resume, stop, members):
        app.command()(command)


def start(home: Home = None) -> None:
    """Run the coordinator until it is stopped: Flower's SuperLink, our services for sites, and every open run."""
    import threading

    from gaitkeeper_server.daemon import CoordinatorService

    service = CoordinatorService(enter(home, "start"), lambda line: print(line, flush=True))
    service.run(threading.Event())


def train(
    study: Annotated[str, typer.Argument(help="A signed study: its file, its name or its hash.")],
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run until it has ended.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a run of a signed study over all enrolled sites. The running coordinator conducts it.

    With --wait the exit status is 0 only for a run that succeeded: 3 where it ended on fewer sites than it asked
    (degraded; its model is registered and marked so), 4 where it failed, was stopped, or paused itself, as too few
    sites were in a round: mend that, and resume it.
    """
    from gaitkeeper_server.daemon import is_running, journal_path
    from gaitkeeper_server.rounds.journal import Journal
    from gaitkeeper_server.rounds.request import request_run

    place = enter(home, "train", study)
    if not is_running(place):
        raise GaitkeeperError("coordinator-not-running", home=place.path)
    journal = Journal(journal_path(place))
    record = request_run(place, journal, study)
    if not as_json:
        typer.echo(f"Run {record.run} of study {record.study_name} over {', '.join(record.sites)}.")
    if wait:
        record = _follow(place, journal, record, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(_run_json(journal, record), indent=2))
    if wait and record.paused_itself:
        raise GaitkeeperError("run-paused", run=record.run, detail=record.detail)
    if wait and record.state in ("failed", "stopped"):
        raise GaitkeeperError("run-ended", run=record.run, state=record.state, detail=record.detail)
    if wait and not record.published:
        minutes = _PUBLISHED_WITHIN_S / 60
        raise GaitkeeperError("run-unpublished", run=record.run, state=record.state, minutes=minutes)
    if wait and record.state == "degraded":
        raise GaitkeeperError("run-degraded", run=record.run, detail=record.detail)


def runs(
    run: Annotated[str | None, typer.Argument(help="Show one run, with its rounds and sites.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest first; or one run's rounds, and what each site did in them."""
    journal = _journal(enter(home, "runs"))
    if run is not None:
        record = journal.run(run)
        if as_json:
            typer.echo(json.dumps(_run_json(journal, record), indent=2))
        else:
            _show_run(journal, record)
        return
    records = journal.runs()[::-1]
    if as_json:
        typer.echo(json.dumps([_run_json(journal, record) for record in records], indent=2))
        return
    if not records:
        typer.echo("No run yet. Ask for one with: gaitkeeper coordinator train STUDY")
        return
    print_table(
        ("run", "study", "state", "rounds", "sites", "model"),
        (
            (
                record.run,
                record.study_name,
                record.state,
                f"{record.committed}/{record.rounds}",
                str(len(record.sites)),
                "-" if record.model_version is None else str(record.model_version),
            )
            for record in records
        ),
        folds="study",
    )


def pause(run: RunId, home: Home = None) -> None:
    """Let a run rest after its present round; at once, where nobody conducts it now."""
    _wish(enter(home, "pause", run), run, "pause")


def resume(run: RunId, home: Home = None) -> None:
    """Let a paused run go on, also one that paused itself: from its last committed round, with a new try at the one
    that did not count. A site that paid for that round does not pay again."""
    _wish(enter(home, "resume", run), run, "go")


def stop(run: RunId, home: Home = None) -> None:
    """End a run for good; the round that is open does not count."""
    _wish(enter(home, "stop", run), run, "stop")


def members(home: Home = None) -> None:
    """Print the enrolled sites and their keys as the table federation.sites of a study.

    A study with that table is for these sites: nobody else takes part, and under secure aggregation each of them
    refuses to mask with anybody else, also with one that the coordinator's own root has certified.
    """
    from gaitkeeper_server.rounds.members import key_of
    from gaitkeeper_server.store import CoordinatorStore

    enrolled = CoordinatorStore(enter(home, "members").store).enrolled_sites()
    if not enrolled:
        raise GaitkeeperError("no-sites")
    typer.echo("[federation.sites]              # compare each key with its clinic over the telephone")
    for site in enrolled:
        typer.echo(f'{site.name} = "{key_of(site)}"')


def _wish(home: CoordinatorHome, run: str, wish: str) -> None:
    from gaitkeeper_server.rounds.states import Wish

    journal = _journal(home)
    record = journal.run(run)
    if record.state.terminal:
        raise GaitkeeperError("run-over", run=record.run, state=record.state)
    journal.set_wish(record.run, Wish(wish))
    words = {"pause": "is asked to pause after its present round", "go": "goes on", "stop": "is asked to stop"}
    typer.echo(f"Run {record.run} {words[wish]}.")


def _journal(home: CoordinatorHome) -> Journal:
    from gaitkeeper_server.daemon import journal_path
    from gaitkeeper_server.rounds.journal import Journal

    return Journal(journal_path(home))


def _follow(home: CoordinatorHome, journal: Journal, record: RunRecord, *, quiet: bool) -> RunRecord:
    """Tell each round as it is committed, until the run has ended and the registry has it, or had time enough."""
    from gaitkeeper_server.daemon import is_running

    told: set[int] = set()
    last_seen = time.monotonic()
    ended_at = math.inf
    while True:
        ended = record.state.terminal
        if ended:
            ended_at = min(ended_at, time.monotonic())
        for item in journal.rounds(record.run):
            if item.number not in told and item.finished_at is not None:
                told.add(item.number)
                if not quiet:
                    typer.echo(_round_line(journal, record, item))
        if record.paused_itself or (ended and (record.published or time.monotonic() - ended_at > _PUBLISHED_WITHIN_S)):
            break
        if is_running(home):
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > _AWAY_S:
            raise GaitkeeperError("coordinator-not-running", home=home.path)
        time.sleep(0.2)
        record = journal.run(record.run)
    if not quiet:
        version = f" Model version {record.model_version}." if record.model_version is not None else ""
        detail = f" ({record.detail})" if record.detail else ""
        typer.echo(f"The run {'is ' if record.paused_itself else ''}{record.state}{detail}.{version}")
    return record


def _round_line(journal: Journal, record: RunRecord, item: RoundRecord) -> str:
    """One line on a round, and one more for each site that is missing from it."""
    outcomes = journal.outcomes(record.run, item.number)
    trains = item.number <= record.rounds
    name = f"Round {item.number}/{record.rounds}" if trains else "Evaluation"
    sites, epsilon, accuracy = _round_cells(outcomes)
    words = [f"{name}: {sites} sites, {_seconds(item):.1f} s"]
    if epsilon != "-":
        words.append(f"epsilon {epsilon}")
    if accuracy != "-":
        words.append(f"accuracy before {accuracy}" if trains else f"noised accuracy {accuracy}")
    return "\n".join(["; ".join(words), *_missing(outcomes)])


def _round_cells(outcomes: Sequence[SiteOutcome]) -> tuple[str, str, str]:
    """Sites that count, the most that any of them spent at which delta, the accuracy of the model that came in."""
    from gaitkeeper_server.rounds.publish import pooled_accuracy

    included = [o for o in outcomes if o.outcome == "included"]
    most = max(included, key=lambda o: o.epsilon_spent, default=None)
    accuracy = pooled_accuracy(included)
    return (
        f"{len(included)}/{len(outcomes)}",
        "-" if most is None else f"{most.epsilon_spent:.2f} at delta {most.delta:g}",
        "-" if accuracy is None else f"{accuracy:.2f}",
    )


def _missing(outcomes: Sequence[SiteOutcome]) -> list[str]:
    return [
        f"  {o.site} {o.outcome}" + (f": {o.message or o.code}" if o.code else "")
        for o in outcomes
        if o.outcome != "included"
    ]


def _seconds(item: RoundRecord) -> float:
    from datetime import datetime

    if item.finished_at is None:
        return 0.0
    return (datetime.fromisoformat(item.finished_at) - datetime.fromisoformat(item.started_at)).total_seconds()


def _show_run(journal: Journal, record: RunRecord) -> None:
    typer.echo(f"Run {record.run}: {record.state}" + (f" ({record.detail})" if record.detail else ""))
    typer.echo(f"Study {record.study_name} ({record.study_hash[:12]}), sites {', '.join(record.sites)}")
    if record.model_version is not None:
        typer.echo(f"Model version {record.model_version}")
    rounds = journal.rounds(record.run)
    missing = []
    rows = []
    for item in rounds:
        name = str(item.number) if item.number <= record.rounds else "final"
        outcomes = journal.outcomes(record.run, item.number)
        rows.append((name, item.state, f"{_seconds(item):.1f} s" if item.finished_at else "-", *_round_cells(outcomes)))
        missing += [f"Round {name}:{line[1:]}" for line in _missing(outcomes)]
    if rows:
        # Accuracy: from noised counts, of the model that the round began with.
        print_table(("round", "state", "time", "sites", "most epsilon spent", "accuracy before"), rows)
        typer.echo(_whose_epsilon(journal.study(record.run)[0]))
    for line in missing:
        typer.echo(line)


def _whose_epsilon(study: Study) -> str:
    """What the column of epsilons is about, and what it is not."""
    against = "whoever sees the masked sums" if study.privacy.trust == "distributed" else "whoever sees its updates"
    told = f"Epsilon, as the sites tell it: of a patient trained on in each round of the site, against {against}."
    if not study.evaluation.holdout:
        return told
    return f"{told} One kept out pays at most {study.evaluation.epsilon:g} for all evaluations instead."


def _run_json(journal: Journal, record: RunRecord) -> dict[str, Any]:
    rounds = []
    spent: dict[str, float] = {}
    for item in journal.rounds(record.run):
        outcomes = journal.outcomes(record.run, item.number)
        spent |= {o.site: o.epsilon_spent for o in outcomes if o.outcome == "included"}
        sites = [
            {
                "site": o.site,
                "outcome": str(o.outcome),
                "code": o.code,
                "message": o.message,
                "epsilon_spent": o.epsilon_spent,
                "delta": o.delta,
                "seconds": o.seconds,
                "metrics": dict(o.metrics),
            }
            for o in outcomes
        ]
        rounds.append(
            {
                "round": item.number,
                "kind": "train" if item.number <= record.rounds else "evaluate",
                "state": str(item.state),
                "started_at": item.started_at,
                "finished_at": item.finished_at,
                "seconds": _seconds(item),
                "weights_sha256": item.weights_sha256,
                "sites": sites,
            }
        )
    return {
        "run": record.run,
        "study": record.study_name,
        "study_hash": record.study_hash,
        "state": str(record.state),
        "detail": record.detail,
        "rounds_planned": record.rounds,
        "rounds_committed": record.committed,
        "sites": list(record.sites),
        "epsilon_spent": spent,
        "delta": journal.study(record.run)[0].privacy.delta,
        "model_version": record.model_version,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "rounds": rounds,
    }
