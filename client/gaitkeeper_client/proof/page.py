"""The page of an audit: what was claimed, what was shown, and whether the planted faults were noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.proof.audit import Audit, Examination
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError

WIDTH, ROW, LEFT, RIGHT, TOP = 640.0, 30.0, 250.0, 600.0, 12.0
_STYLE = Markup("""
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}svg{width:100%;max-width:46rem;display:block}
.axis{stroke:#888}.claim{stroke:#0b5394;stroke-width:3}.bar{fill:#5b8f5b}.bar-over{fill:#c2500a}
.label{font-size:12px;fill:#333}.good{color:#2d6a2d}.bad{color:#a33a00}
""")


def document(audit: Audit) -> dict[str, Any]:
    """The audit as a table of plain values, schema ``gaitkeeper.privacy-audit/1``."""
    return {
        "schema": "gaitkeeper.privacy-audit/1",
        "study": audit.study,
        "holds": audit.holds,
        "missed_faults": list(audit.missed),
        "steps": audit.steps,
        "noise_multiplier": audit.noise_multiplier,
        "sample_rate": audit.sample_rate,
        "honest_sites": audit.honest_sites,
        "confidence": audit.confidence,
        "sound": [_examination(one) for one in audit.sound],
        "faults": [_examination(one) for one in audit.faults],
    }


def write_audit(folder: Path, audit: Audit) -> None:
    """Write ``audit.json`` and ``audit.html``, each whole or not at all. Raises ``audit-unwritable``."""
    text = json.dumps(document(audit), indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "audit.json", text.encode("utf-8"), mode=0o644)
        write_durably(folder / "audit.html", page(audit).encode("utf-8"), mode=0o644)
    except OSError as error:
        raise GaitkeeperError("audit-unwritable", path=folder, detail=error.strerror or str(error)) from error


def page(audit: Audit) -> str:
    """The page as HTML that needs nothing from outside."""
    parts = [Markup("<h1>Privacy audit: {}</h1>").format(audit.study), _verdict(audit), _method(audit)]
    parts += [Markup("<h2>The code as it is</h2>"), *(_section(one) for one in audit.sound)]
    parts += [Markup("<h2>Planted faults</h2>"), Markup("<p>Each has to be noticed: its bar must pass a claim.</p>")]
    parts += [_section(one) for one in audit.faults]
    head = Markup('<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Privacy audit</title><style>')
    return str(head + _STYLE + Markup("</style></head><body>") + Markup("").join(parts) + Markup("</body></html>"))


def _verdict(audit: Audit) -> Markup:
    words = "Nothing that was seen contradicts the ledger." if audit.holds else "The ledger's claim is refuted."
    found = f"{len(audit.faults) - len(audit.missed)} of {len(audit.faults)} planted faults were noticed."
    good = audit.holds and not audit.missed
    missed = f" Missed: {', '.join(audit.missed)}." if audit.missed else ""
    return Markup('<p class="{}"><strong>{} {}{}</strong></p>').format("good" if good else "bad", words, found, missed)


def _method(audit: Audit) -> Markup:
    return Markup(
        "<p>A canary patient is at a site, or is not. Somebody who knows everything else, and chooses the weights, "
        "watches {steps} private steps (noise multiplier {noise:g}, sample rate {rate:g}, {honest} site(s) in the sum) "
        "and guesses. How often the guesses are right bounds epsilon from below. Thresholds are chosen on a third of "
        "the trials and judged on the rest; counts are replaced by the worse ends of exact binomial intervals "
        "(Clopper-Pearson). Each examination as a whole is wrong with probability at most {doubt:g}. A lower bound "
        "below the claim does not prove the claim; one above it refutes it.</p>"
    ).format(
        steps=audit.steps,
        noise=audit.noise_multiplier,
        rate=audit.sample_rate,
        honest=audit.honest_sites,
        doubt=round(1.0 - audit.confidence, 9),
    )


def _section(one: Examination) -> Markup:
    columns = ("delta", "claimed epsilon", "shown at least", "by", "called in, of those in", "of those out")
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in columns)
    rows = []
    for delta, claim in one.claims.items():
        best = one.best(delta)
        cells = (
            f"{delta:g}",
            f"{claim:.2f}",
            f"{best.epsilon:.2f}",
            best.statistic,
            f"{best.hits} of {best.inside}",
            f"{best.false_alarms} of {best.outside}",
        )
        rows.append(Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells)))
    words = "above the claim" if one.refuted else "nothing above the claim"
    heading = Markup("<h3>{}: {}</h3>").format(one.title, words)
    said = Markup("<p>{} trials with the canary and {} without.</p>").format(one.trials, one.trials)
    table = Markup("<table><tr>{}</tr>{}</table>").format(head, Markup("").join(rows))
    return heading + said + _chart(one) + table


def _chart(one: Examination) -> Markup:
    """Claim (a line) and lower bound (a bar) at each delta."""
    top = max(0.5, *one.claims.values(), *(one.best(delta).epsilon for delta in one.claims))
    across, bottom = Axis(0.0, top, LEFT, RIGHT), TOP + ROW * len(one.claims)
    said = "; ".join(
        f"delta {delta:g}: claimed {claim:.2f}, shown {one.best(delta).epsilon:.2f}"
        for delta, claim in one.claims.items()
    )
    canvas = Canvas(WIDTH, bottom + 30.0, one.title, said)
    canvas.line(LEFT, TOP, LEFT, bottom, "axis")
    for number, (delta, claim) in enumerate(one.claims.items()):
        y, shown = TOP + ROW * number, one.best(delta).epsilon
        canvas.text(LEFT - 8.0, y + 19.0, f"epsilon at delta {delta:g}", anchor="end")
        over = "bar-over" if shown > claim else "bar"
        canvas.add("rect", x=LEFT, y=y + 6.0, width=across(shown) - LEFT, height=ROW - 12.0, cls=over)
        canvas.line(across(claim), y + 2.0, across(claim), y + ROW - 2.0, "claim")
    canvas.text(LEFT, bottom + 18.0, "0")
    canvas.text(RIGHT, bottom + 18.0, f"{top:.1f}", anchor="end")
    return Markup("<figure>") + canvas.render() + Markup("</figure>")


def _examination(one: Examination) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "refuted": bool(one.refuted),
        "trials": one.trials,
        "seconds": round(one.seconds, 1),
        "claims": [
            {
                "delta": delta,
                "claimed": round(claim, 4),
                "shown": round(one.best(delta).epsilon, 4),
                "statistic": one.best(delta).statistic,
            }
            for delta, claim in one.claims.items()
        ],
    }
