"""One HTML page for a table: exact figures, changes since the last page, and a sample of rows.

Belongs here: the figures of a table, their comparison, and the page. Does not belong here: which
tables have a page (`assets.quality.profiles`), or verdicts (`checks`).

The figures are computed in SQL over the whole table. Distributions and examples are skrub's
`TableReport` of a sample of rows; it works without a network. Of personal columns both show only
whether they are filled.
"""

import html
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from analytics_assets.schemas import Table
from analytics_assets.warehouse.session import Session

SAMPLE_ROWS = 2000
CATEGORIES = 50  # the values of a text column are listed if there are at most so many
HIDDEN = "(hidden)"
NOTABLE = 0.01  # changes of shares, or relative changes of means, above this are listed

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem; text-align: left; }
tr { border-bottom: 1px solid #ddd; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class ColumnFigures:
    """The figures of a column; without values where it is personal.

    Attributes:
        type: DuckDB type.
        nulls: rows without a value.
        distinct: different values, approximate (HyperLogLog).
        least: smallest number or earliest time, as text.
        greatest: largest number or latest time, as text.
        mean: of numbers.
        categories: number of rows by value, of texts with few values.
    """

    type: str
    nulls: int
    distinct: int | None = None
    least: str | None = None
    greatest: str | None = None
    mean: float | None = None
    categories: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """The figures of a table.

    Attributes:
        made: time of the page, as text.
        rows: number of rows.
        columns: figures of each column.
    """

    made: str
    rows: int
    columns: dict[str, ColumnFigures]


def write_profile(
    session: Session,
    table: Table,
    folder: Path,
    made: datetime,
    seed: int,
) -> list[str]:
    """Write `<table>.html` and the figures that it shows, `<table>.json`.

    Args:
        session: session of the warehouse.
        table: the table.
        folder: folder of the pages.
        made: time that the page shows.
        seed: seed of the sample of rows.

    Returns:
        The notable changes since the last page, a sentence each.
    """
    figures = count_figures(session, table, made)
    stored = folder / f"{table.name}.json"
    before = read_figures(stored)
    changes = list_changes(before, figures) if before else []
    page = _page(table, figures, before, changes, _report(session, table, seed))
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (folder / f"{table.name}.html", page),
        (stored, json.dumps(asdict(figures), indent=1)),
    ):
        new = path.with_suffix(f"{path.suffix}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    return changes


def count_figures(session: Session, table: Table, made: datetime) -> Figures:
    """Compute the figures of a table's columns in one query, and the categories of its texts."""
    kinds = {name: _kind(type_) for name, type_ in table.sql_types.items()}
    expressions = ["count(*)"]
    for name, kind in kinds.items():
        column = f'"{name}"'
        shown = name not in table.personal_columns
        expressions.append(f"count(*) - count({column})")
        expressions.append(f"approx_count_distinct({column})" if shown else "NULL")
        bounds = shown and kind in ("number", "time")
        expressions += [f"{end}({column})::VARCHAR" if bounds else "NULL" for end in ("min", "max")]
        expressions.append(f"avg({column})::DOUBLE" if shown and kind == "number" else "NULL")
    rows, *rest = session.row(f"SELECT {', '.join(expressions)} FROM {table.relation}")
    columns = {}
    for position, (name, kind) in enumerate(kinds.items()):
        nulls, distinct, least, greatest, mean = rest[5 * position : 5 * position + 5]
        categories: dict[str, int] = {}
        named = name in table.key or name.endswith("_id")  # names of rows, not categories
        if kind == "text" and not named and distinct is not None and distinct <= CATEGORIES:
            categories = dict(
                session.rows(
                    f'SELECT "{name}", count(*) FROM {table.relation} WHERE "{name}" IS NOT NULL '
                    f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {CATEGORIES}"
                )
            )
        columns[name] = ColumnFigures(
            table.sql_types[name], nulls, distinct, least, greatest, mean, categories
        )
    return Figures(f"{made:%Y-%m-%d %H:%M} UTC", rows, columns)


def read_figures(path: Path) -> Figures | None:
    """The figures of an earlier page; None where there are none, or they cannot be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        columns = {name: ColumnFigures(**figures) for name, figures in stored["columns"].items()}
        return Figures(stored["made"], stored["rows"], columns)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def list_changes(before: Figures, now: Figures) -> list[str]:
    """List the notable changes from one profile to the next, a sentence each."""
    changes = []
    if before.rows != now.rows:
        changes.append(f"rows: {before.rows:,} before, {now.rows:,} now")
    changes += [f"{name}: no longer there" for name in before.columns if name not in now.columns]
    for name, column in now.columns.items():
        past = before.columns.get(name)
        if past is None:
            changes.append(f"{name}: new")
            continue
        if past.type != column.type:
            changes.append(f"{name}: {past.type} before, {column.type} now")
        was, share = past.nulls / max(before.rows, 1), column.nulls / max(now.rows, 1)
        if abs(share - was) > NOTABLE:
            changes.append(f"{name}: missing in {was:.1%} before, in {share:.1%} now")
        if past.mean and column.mean is not None:
            moved = column.mean / past.mean - 1
            if abs(moved) > NOTABLE:
                was_, is_ = _number(past.mean), _number(column.mean)
                changes.append(f"{name}: mean {was_} before, {is_} now")
        if past.categories and column.categories:
            new = [value for value in column.categories if value not in past.categories]
            gone = [value for value in past.categories if value not in column.categories]
            changes += [f"{name}: {value} is new" for value in new]
            changes += [f"{name}: {value} is gone" for value in gone]
    return changes


def _number(value: float | None) -> str:
    """Format with at least four digits and without an exponent: 1,234,567 or 0.01234."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _kind(type_: str) -> str:
    if type_ in ("INT", "INTEGER", "BIGINT", "DOUBLE") or type_.startswith("DECIMAL"):
        return "number"
    if type_ == "DATE" or type_.startswith("TIMESTAMP"):
        return "time"
    if type_ == "BLOB":
        return "bytes"
    return "text" if type_ in ("VARCHAR", "TEXT") else "other"


def _report(session: Session, table: Table, seed: int) -> str:
    """Let skrub write its part of the page, of the same rows for the same table and seed."""
    from skrub import TableReport

    columns = []
    for name, type_ in table.sql_types.items():
        column = f'"{name}"'
        if name in table.personal_columns:
            column = f"CASE WHEN {column} IS NOT NULL THEN '{HIDDEN}' END AS {column}"
        elif _kind(type_) == "bytes":
            column = f"octet_length({column}) AS {column}"
        elif type_.startswith("DECIMAL"):
            # For Python's decimals, skrub shows the first characters and no distribution.
            column = f"{column}::DOUBLE AS {column}"
        columns.append(column)
    key = ", ".join(f'"{name}"' for name in table.key)
    frame = session.frame(
        f"SELECT {', '.join(columns)} FROM {table.relation} "
        f"ORDER BY hash({seed}, {key}), {key} LIMIT {SAMPLE_ROWS}"
    )
    if frame.empty:
        return "<p>No rows.</p>"
    report = TableReport(frame, verbose=0, plot_distributions=True, compute_associations=False)
    return str(report.html_snippet())


def _page(
    table: Table, figures: Figures, before: Figures | None, changes: list[str], report: str
) -> str:
    if before is None:
        text = "<p>There is no profile before this one.</p>"
    elif changes:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in changes)
        text = f"<p>Since the profile of {before.made}:</p><ul>{items}</ul>"
    else:
        text = f"<p>Nothing notable since the profile of {before.made}.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{table.relation}</title><style>{STYLE}</style></head>
<body>
<h1>{table.relation}</h1>
<p>{html.escape(table.summary)}</p>
<p>{figures.rows:,} rows, as of {figures.made}.</p>
<h2>Columns</h2>
{_columns(table, figures)}
<h2>Changes</h2>
{text}
<h2>A sample</h2>
<p>Distributions and examples of at most {SAMPLE_ROWS:,} rows, drawn by the hash of their key.</p>
{report}
</body>
</html>
"""


def _columns(table: Table, figures: Figures) -> str:
    head = {"column": False, "type": False, "missing": True, "different values": True}
    head |= {"from": True, "to": True, "mean": True, "most frequent": False}
    rows = []
    for name, column in figures.columns.items():
        frequent = ", ".join(
            f"{value} ({count / max(figures.rows, 1):.0%})"
            for value, count in list(column.categories.items())[:4]
        )
        hidden = name in table.personal_columns
        cells: list[tuple[Any, bool]] = [
            (name, False),
            (column.type, False),
            (f"{column.nulls:,} ({column.nulls / max(figures.rows, 1):.1%})", True),
            ("" if column.distinct is None else f"about {column.distinct:,}", True),
            (column.least or "", True),
            (column.greatest or "", True),
            (_number(column.mean), True),
            ("personal: hidden" if hidden else frequent, False),
        ]
        rows.append(
            "".join(
                f"<td{' class=n' if number else ''}>{html.escape(str(cell))}</td>"
                for cell, number in cells
            )
        )
    titles = "".join(
        f"<th{' class=n' if number else ''}>{title}</th>" for title, number in head.items()
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"
