"""docs/explanations.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.explained import certify, planted
from gaitkeeper_client.explained.planted import PlantedResult
from gaitkeeper_client.insight.certificate import Check

HERE = Path(__file__).parent
NAMES = ("planted", "untrained", "located", "deletion", "insertion", "faithful", "stable", "randomised", "spm")


@dataclass(frozen=True, slots=True)
class Row:
    """One model and way to explain; ``right``: None where it was not asked."""

    name: str
    right: float | None
    checks: tuple[Check, ...]
    walks: int


def write_page(path: Path, rows: Sequence[Row], planted_by: Mapping[str, Mapping[str, PlantedResult | None]]) -> None:
    """Write the page."""
    chance = next(check.compared for check in rows[0].checks if check.name == "planted")
    head = (
        (HERE / "head.md")
        .read_text("utf-8")
        .format(
            walks=len(certify.WALKS),
            size=planted.SIZE,
            most=planted.MOST,
            times=certify.TIMES_CHANCE,
            located=certify.LEAST_LOCATED,
            faithful=certify.LEAST_FAITHFUL,
            stable=certify.LEAST_STABLE,
            noise=certify.NOISE_M * 1000.0,
            cells=1.0 / chance,
        )
    )
    parts = [head, _table(rows), _rescaling(planted_by), (HERE / "tail.md").read_text("utf-8")]
    path.write_text("".join(parts), "utf-8")


def _table(rows: Sequence[Row]) -> str:
    lines = [f"| model | right | outcome | {' | '.join(NAMES)} |", f"| --- | ---: | --- |{' ---: |' * len(NAMES)}"]
    for row in rows:
        checks = {check.name: check for check in row.checks}
        failed = [check.name for check in row.checks if check.decisive and not check.passed]
        outcome = f"failed: {', '.join(failed)}" if failed else "passed"
        right = "" if row.right is None else f"{row.right:.0%}"
        cells = " | ".join(_cell(checks[name]) for name in NAMES)  # type: ignore[index]
        lines.append(f"| {row.name} | {right} | {outcome} | {cells} |")
    return "\n".join(lines) + "\n\nIn each cell: the value, against what it is held.\n"


def _cell(check: Check) -> str:
    return f"{check.value:.2f} / {check.compared:.2f}"


def _rescaling(planted_by: Mapping[str, Mapping[str, PlantedResult | None]]) -> str:
    lines = [
        "\n## Does temporal saliency rescaling help?\n",
        "Share of the map in the planted cell (and in the same cell before the defect), and how often the change is",
        "largest there:\n",
        "| model | contributions | located | rescaled | located |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for kind, results in planted_by.items():
        cells = []
        for name in ("contributions", "rescaled"):
            found = results[name]
            cells += ["", ""] if found is None else [f"{found.mass:.2f} ({found.before:.2f})", f"{found.located:.0%}"]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
