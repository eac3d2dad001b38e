"""How the coordinator's commands print: narrow tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]], *, folds: str = "") -> None:
    """Print a table. No cell is cut; the column ``folds`` takes more lines where the terminal is too narrow."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name != folds, overflow="fold")
    for row in rows:
        # As Text: what sites and studies are called is no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def minute(moment: str | None) -> str:
    """An ISO time in UTC, to the minute; a hyphen for None."""
    return "-" if moment is None else moment[:16].replace("T", " ")
