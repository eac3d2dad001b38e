"""The tables of ``docs/parameters.md`` are those of the code: ``python -m tests.parameter_page`` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gaitkeeper_client.gait.cautions import CAUTIONS
from gaitkeeper_client.gait.definitions import DEFINITIONS, VIEWS, Definition
from gaitkeeper_client.gait.refusals import TABLE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "parameters.md"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _needs(row: Definition) -> str:
    return VIEWS[row.needs] + ("; a scale" if row.length and row.needs == "side" else "")


def tables() -> dict[str, str]:
    """Every table by the name that the page's markers give it."""
    return {
        "parameters": _table(
            ("name", "unit", "definition", "from", "fewest values", "marked as wide beyond", "source"),
            (
                (
                    f"`{row.name}`",
                    row.unit,
                    row.definition,
                    _needs(row),
                    str(row.fewest),
                    f"±{row.wide:g} {row.unit if row.unit != '1' else ''}".strip(),
                    row.source,
                )
                for row in DEFINITIONS.values()
            ),
        ),
        "refusals": _table(
            ("code", "rule", "message", "what to do about the recording"),
            ((f"`{row.code}`", row.rule, row.message, row.remedy) for row in TABLE.values()),
        ),
        "cautions": _table(
            ("code", "rule", "message"), ((f"`{row.code}`", row.rule, row.message) for row in CAUTIONS.values())
        ),
    }


def rendered(page: str) -> str:
    """The page with its tables replaced by the code's."""
    for name, table in tables().items():
        marked = re.compile(rf"(<!-- table: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not marked.search(page):
            raise ValueError(f"docs/parameters.md has no place for the table {name}")
        page = marked.sub(lambda match, text=table: match[1] + text + match[2], page)
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
