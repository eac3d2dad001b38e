"""``gaitkeeper privacy audit``: the ledger's claim put to the test on the training code that is installed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaitkeeper_shared.errors import GaitkeeperError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gaitkeeper_client.proof.audit import Audit, Effort
    from gaitkeeper_shared.study import Study

app = typer.Typer()


@app.command()
def audit(
    study: Annotated[
        Path | None, typer.Argument(help="A study file (default: a small study made for audits).", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer trials: seconds instead of minutes.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=30, max=100_000, help="Trials of the code as it is, each with and without.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write audit.json and audit.html there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
) -> None:
    """Try to tell whether one patient was trained on, and hold the success against what the ledger claims.

    Uses the installed training code and made-up patients; reads nobody's data. Faults are planted as well (no noise,
    clipping per window, a mis-stated rate, noise used twice, masking off), and each has to be noticed. Exit status: 0
    nothing contradicts the ledger and every fault was noticed, 4 otherwise.
    """
    from gaitkeeper_client.cli.output import bars
    from gaitkeeper_client.proof.audit import audit as run
    from gaitkeeper_client.proof.page import document, write_audit

    loaded, hash_ = _study(study)
    with bars(as_json) as shown:
        teller = None if shown is None else _Teller(shown)
        done = run(loaded, hash_, effort=_effort(quick, trials), on_progress=teller)
    if output is not None:
        write_audit(output, done)
    if as_json:
        typer.echo(json.dumps(document(done), indent=1))
    else:
        _print(done, output)
    if not done.holds:
        names = ", ".join(one.title for one in done.sound if one.refuted)
        detail = f"more was seen than the ledger claims ({names})"
        raise GaitkeeperError("audit-refuted", study=done.study, detail=detail)
    if done.missed:
        raise GaitkeeperError("audit-blind", study=done.study, faults=", ".join(done.missed))


def _study(path: Path | None) -> tuple[Study, str]:
    from importlib import resources

    from gaitkeeper_shared.study import load_study, parse_study, study_hash

    if path is not None:
        loaded, data = load_study(path)
        return loaded, study_hash(data)
    data = (resources.files("gaitkeeper_client.proof") / "default_study.toml").read_bytes()
    return parse_study(data, origin="the audit's own study"), study_hash(data)


def _effort(quick: bool, trials: int | None) -> Effort:
    from dataclasses import replace

    from gaitkeeper_client.proof.audit import QUICK, Effort

    chosen = QUICK if quick else Effort()
    return chosen if trials is None else replace(chosen, sound=trials)


class _Teller:
    """A bar for each part of the audit, as it begins."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._shown.add_task(title, total=total)
        self._shown.update(self._tasks[title], completed=done)


def _print(done: Audit, output: Path | None) -> None:
    typer.echo(f"Audit of {done.study}: {done.steps} private steps, noise multiplier {done.noise_multiplier:g},")
    typer.echo(f"sample rate {done.sample_rate:g}, confidence {done.confidence:.1%} for each line.")
    for one in (*done.sound, *done.faults):
        delta = max(one.claims, key=lambda item: one.best(item).epsilon / max(one.claims[item], 1e-3))
        verdict = "REFUTED" if one.refuted else "no contradiction"
        if one in done.faults:
            verdict = "noticed" if one.refuted else "NOT NOTICED"
        shown = f"epsilon >= {one.best(delta).epsilon:.2f}, claimed {one.claims[delta]:.2f} at delta {delta:g}"
        typer.echo(f"  {one.title}: {shown}: {verdict}")
    if output is not None:
        typer.echo(f"{output / 'audit.html'}")
