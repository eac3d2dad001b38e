"""How a doctor's findings are printed, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer

from gaitkeeper_shared.doctor import Finding, Verdict
from gaitkeeper_shared.errors import GaitkeeperError

_WORDS: dict[Verdict, tuple[str, str]] = {
    "well": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "ill": ("ILL", "red"),
    "unknown": ("??", "red"),
}


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print them; what is ill with its remedy under it. Raises ``doctor-found`` where something is ill."""
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            word, colour = _WORDS[finding.verdict]
            typer.secho(f"{word:>4}  ", fg=colour, bold=True, nl=False)
            typer.echo(f"{finding.what}: {finding.detail}")
            if finding.remedy:
                typer.echo(f"      What to do: {finding.remedy}")
    ill = [finding.what for finding in findings if finding.verdict in ("ill", "unknown")]
    if ill:
        raise GaitkeeperError("doctor-found", count=len(ill), what=", ".join(dict.fromkeys(ill)))
