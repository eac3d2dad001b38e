"""A walk's parameters, cycles and curves as tables: CSV for spreadsheets, Parquet for statistics.

``parameters``: one row a parameter, withheld ones with their reason. ``cycles``: one row a gait cycle. ``curves``: one
row for each percent of each angle of each cycle, with ``cycle`` as the row number in ``cycles``; ``planes``: the
same of angles in three planes, where there are any. Each row begins with
how the report stands: tables are cut and pasted, and a line of an unsigned report has to say so wherever it ends.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gaitkeeper_client.exchange.facts import ReportFacts
from gaitkeeper_client.gait.analysis import CURVE_POINTS, Analysis, Cycle, Parameter, Reason
from gaitkeeper_client.gait.definitions import DEFINITIONS
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.arrays import FloatArray

if TYPE_CHECKING:
    from pathlib import Path

TableFormat = Literal["csv", "parquet"]
FORMATS: tuple[TableFormat, ...] = ("csv", "parquet")
Kind = Literal["text", "number", "count"]
Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """``columns``: by name, what stands in it and its values, all of one length. ``notes``: what the file carries."""

    name: str
    columns: Mapping[str, tuple[Kind, Sequence[Cell]]]
    notes: Mapping[str, str]


STATUS = "report_status"
"""The first column of every table: ``draft`` until a clinician decided on every finding, ``signed``, ``amended``."""
OVERRULED = "overruled-by-clinician"


def tables_of(analysis: Analysis, facts: ReportFacts | None = None) -> tuple[Table, ...]:
    """The tables of an analysis; those of a refused one hold the reasons and no cycle.

    ``facts``: of the kept report whose signatures the caller has verified; None for a draft that nobody keeps. Where a
    clinician let no measurement stand, every parameter is withheld for that reason and no cycle is given.
    """
    state = facts.state if facts is not None else "draft"
    notes = {"source_sha256": str(analysis.source.get("sha256", "")), "status": analysis.status, STATUS: state}
    notes["report"] = facts.id if facts is not None else ""
    notes["signed_by"] = "; ".join(one.display for one in facts.signed.signers) if facts and facts.signed else ""
    why = facts.overruled if facts is not None else ""
    cycles = () if why else analysis.cycles
    made = [_parameters(analysis, notes, why), _cycles(cycles, notes)]
    made.append(_curves("curves", [cycle.curves for cycle in cycles], notes))
    if any(cycle.planes for cycle in cycles):
        made.append(_curves("planes", [cycle.planes for cycle in cycles], notes))
    return tuple(_marked(table, state) for table in made)


def _marked(table: Table, state: str) -> Table:
    """The table with its first column: how the report stands, in every row."""
    count = len(next(iter(table.columns.values()))[1])
    marks: tuple[Kind, Sequence[Cell]] = ("text", [state] * count)
    return Table(table.name, {STATUS: marks, **table.columns}, table.notes)


def table_bytes(table: Table, form: TableFormat) -> bytes:
    """One table as a file."""
    return _csv(table) if form == "csv" else _parquet(table)


def write_tables(
    analysis: Analysis, folder: Path, form: TableFormat, facts: ReportFacts | None = None
) -> tuple[Path, ...]:
    """Write each of :func:`tables_of` as ``NAME.FORM`` into the folder, each whole or not at all; gives the paths.

    Raises ``exchange-unwritable``, ``disk-full``.
    """
    from gaitkeeper_client.exchange.files import write_file

    written = []
    for table in tables_of(analysis, facts):
        path = folder / f"{table.name}.{form}"
        write_file(path, table_bytes(table, form))
        written.append(path)
    return tuple(written)


def tables_archive(analysis: Analysis, form: TableFormat, facts: ReportFacts | None = None) -> bytes:
    """All of :func:`tables_of` as one ZIP archive."""
    from gaitkeeper_client.lab.export.formats import zipped

    return zipped({f"{table.name}.{form}": table_bytes(table, form) for table in tables_of(analysis, facts)})


def _parameters(analysis: Analysis, notes: Mapping[str, str], overruled: str) -> Table:
    rows = [
        (name, _withheld(one, overruled) if overruled and one.refused is None else one)
        for name, one in analysis.parameters.items()
    ]

    def end(one: Parameter, index: int) -> float | None:
        return None if one.ci95 is None else one.ci95[index]

    return Table(
        "parameters",
        {
            "parameter": ("text", [name for name, _ in rows]),
            "unit": ("text", [one.unit for _, one in rows]),
            "value": ("number", [one.value for _, one in rows]),
            "ci95_low": ("number", [end(one, 0) for _, one in rows]),
            "ci95_high": ("number", [end(one, 1) for _, one in rows]),
            "n": ("count", [one.n for _, one in rows]),
            "refused": ("text", [one.refused.code if one.refused else None for _, one in rows]),
            "reason": ("text", [one.refused.message if one.refused else None for _, one in rows]),
            "notes": ("text", [" ".join(note.code for note in one.notes) or None for _, one in rows]),
            "definition": ("text", [DEFINITIONS[name].definition if name in DEFINITIONS else None for name, _ in rows]),
        },
        notes,
    )


def _withheld(one: Parameter, overruled: str) -> Parameter:
    """A measurement that a clinician did not let stand: its reason, and no value."""
    reason = Reason(OVERRULED, say("exchange.overruled", reason=overruled))
    return dataclasses.replace(one, value=None, ci95=None, n=0, refused=reason)


def _cycles(cycles: Sequence[Cycle], notes: Mapping[str, str]) -> Table:
    times = ("start_s", "end_s", "foot_off_s", "opposite_foot_off_s", "opposite_foot_strike_s", "duration_s")
    columns: dict[str, tuple[Kind, Sequence[Cell]]] = {
        "cycle": ("count", list(range(len(cycles)))),
        "side": ("text", [cycle.side for cycle in cycles]),
    }
    columns |= {name: ("number", [getattr(cycle, name) for cycle in cycles]) for name in times}
    return Table("cycles", columns, notes)


def _curves(title: str, cycles: Sequence[Mapping[str, FloatArray]], notes: Mapping[str, str]) -> Table:
    rows = [
        (number, name, percent, float(value) if np.isfinite(value) else None)
        for number, curves in enumerate(cycles)
        for name, curve in curves.items()
        for percent, value in zip(range(CURVE_POINTS), curve, strict=True)
    ]
    return Table(
        title,
        {
            "cycle": ("count", [row[0] for row in rows]),
            "angle": ("text", [row[1] for row in rows]),
            "percent": ("count", [row[2] for row in rows]),
            "degrees": ("number", [row[3] for row in rows]),
        },
        notes,
    )


def _csv(table: Table) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    cells = [[_cell(kind, value) for value in values] for kind, values in table.columns.values()]
    writer.writerows(zip(*cells, strict=True))
    return buffer.getvalue().encode("utf-8")


def _cell(kind: Kind, value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.7g}" if kind == "number" else str(value)


def _parquet(table: Table) -> bytes:
    import pyarrow as arrow
    from pyarrow import parquet

    types = {"text": arrow.string(), "number": arrow.float64(), "count": arrow.int64()}
    arrays = {name: arrow.array(list(values), type=types[kind]) for name, (kind, values) in table.columns.items()}
    content = arrow.table(arrays).replace_schema_metadata(dict(table.notes))
    buffer = io.BytesIO()
    parquet.write_table(content, buffer)
    return buffer.getvalue()
