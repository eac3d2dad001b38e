"""``docs/faults.md``: matrix, load, crowd, soak and watch, each written by what measured it; the others' parts stay."""

from __future__ import annotations

from tests.faults.outcomes import HERE, ROOT, Cell, Outcome, alone, cells, outcomes

from gaitkeeper_shared.durable import write_durably

PAGE = ROOT / "docs" / "faults.md"
PARTS = ("matrix", "load", "crowd", "soak", "watch")
_MARKS = {"as expected": "ok", "WRONG": "**WRONG**", "not possible here": "not run"}


def write_matrix() -> None:
    """Write the matrix as it was last run, each cell by itself."""
    known, matrix = outcomes(), cells()
    run = [known[cell.name] for cell in matrix if cell.name in known]
    good = sum(item.verdict == "as expected" for item in run)
    wrong = sum(item.verdict == "WRONG" for item in run)
    ordered = sorted(run, key=lambda item: item.at)
    commits = " to ".join(dict.fromkeys(item.commit for item in (*ordered[:1], *ordered[-1:])))
    lines = [
        f"{len(run)} of {len(matrix)} cells were run between {min((o.at for o in run), default='never')} and "
        f"{max((o.at for o in run), default='never')} UTC (commits {commits}; load up to "
        f"{max((o.load for o in run), default=0.0):.1f}), {sum(o.seconds for o in run) / 60:.0f} minutes in all: "
        f"{good} as expected, {wrong} not, {len(run) - good - wrong} not possible there.",
    ]
    for group in dict.fromkeys(cell.group for cell in matrix):
        lines += ["", f"### {group}", "", "| fault | moment | outcome | | s |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(cell, known.get(cell.name)) for cell in matrix if cell.group == group]
    write_part("matrix", "\n".join(lines))


def _row(cell: Cell, found: Outcome | None) -> str:
    if found is None:
        return f"| {cell.fault} | {cell.moment} | | not run | |"
    measured = found.measured.replace("|", "/")
    if found.verdict == "WRONG":
        measured += f" (expected: {' or '.join(cell.expected)})"
    return f"| {cell.fault} | {cell.moment} | {measured} | {_MARKS[found.verdict]} | {found.seconds:.0f} |"


def write_part(name: str, text: str) -> None:
    """Put ``text`` in the place of one part of the page."""
    with alone():
        present = PAGE.read_text("utf-8") if PAGE.exists() else ""
        parts = {part: _between(present, part) for part in PARTS} | {name: text.strip()}
        pieces = [(HERE / "head.md").read_text("utf-8").rstrip()]
        for part in PARTS:
            words = (HERE / f"{part}.md").read_text("utf-8").rstrip()
            pieces += [words, f"{_mark(part)}\n{parts[part] or 'Not measured yet.'}\n{_mark(part, end=True)}"]
        write_durably(PAGE, ("\n\n".join(pieces) + "\n").encode(), mode=0o644)


def _mark(part: str, *, end: bool = False) -> str:
    return f"<!-- {'end of ' if end else ''}{part} -->"


def _between(text: str, part: str) -> str:
    _, begun, rest = text.partition(_mark(part))
    found, ended, _ = rest.partition(_mark(part, end=True))
    return found.strip() if begun and ended and found.strip() != "Not measured yet." else ""
