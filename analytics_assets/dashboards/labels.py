"""What columns are called on a page, and how their values are written.

Belongs here: labels, units and formats, from the declared tables. Does not belong here: which
columns a page shows.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from analytics_assets.schemas import TABLES
from analytics_assets.schemas.units import unit_of

Kind = Literal["money", "share", "count", "number", "date", "month", "time", "text", "flag"]
NONE = "–"  # noqa: RUF001 (a dash, where there is no value)
_AS_WRITTEN = {"rfm": "RFM", "id": "ID", "psi": "PSI", "roc": "ROC", "auc": "AUC", "p": "p"}
_WHOLE = {"sd_gap_days": "Spread of the gaps", "mean_gap_days": "Mean gap between orders"}
_D3 = {"money": ",.0f", "share": ".1%", "count": ",.0f", "number": ",.2f"}
# In words of Streamlit, for tables.
_IN_TABLES = {"money": "%,.2f", "share": "percent", "count": "localized", "number": "%.3f"}


@dataclass(frozen=True)
class Column:
    """A column on a page.

    Attributes:
        name: its name in the rows.
        label: what it is called.
        kind: how it is written.
        meaning: what it means, with its unit.
    """

    name: str
    label: str
    kind: Kind
    meaning: str = ""

    @property
    def d3(self) -> str:
        """Its format in a chart."""
        return _D3.get(self.kind, "")

    @property
    def in_tables(self) -> str | None:
        """Its format in a table."""
        return _IN_TABLES.get(self.kind)


def label_of(name: str) -> str:
    """A name as a person would write it."""
    if name in _WHOLE:
        return _WHOLE[name]
    words = [_AS_WRITTEN.get(word, word) for word in name.split("_")]
    words = [re.sub(r"^(\d+)d$", r"\1 days", word) for word in words]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def declared(table: str, *names: str, **labels: str) -> list[Column]:
    """Columns of a declared table, with what its model says of them.

    Args:
        table: the table.
        names: the columns.
        labels: labels other than the name's own words, by column.
    """
    model = TABLES[table]
    found = []
    for name in names:
        unit = unit_of(model, name)
        meaning = model.schema.columns[name].description or ""
        kind = _kind(model.sql_types[name], name, unit)
        if unit and unit != "count":
            meaning = f"{meaning}. Unit: {unit}"
        found.append(Column(name, labels.get(name, label_of(name)), kind, meaning))
    return found


def _kind(type_: str, name: str, unit: str | None) -> Kind:
    if type_ == "DATE":
        return "month" if name.endswith("month") else "date"
    if type_.startswith("TIMESTAMP"):
        return "time"
    if type_ == "BOOLEAN":
        return "flag"
    if unit is None:
        return "text"
    if unit.startswith("money"):
        return "money"
    if unit.startswith(("share", "probability", "0 to 1")):
        return "share"
    return "count" if type_ in ("INT", "BIGINT") else "number"


def _month(value: date) -> str:
    return f"{value:%B %Y}"


def _day(value: date) -> str:
    return f"{value.day} {value:%B %Y}"


def _time(value: datetime) -> str:
    return f"{_day(value)}, {value:%H:%M} UTC"


_WRITTEN: dict[str, Callable[[Any], str]] = {
    "money": lambda value: f"{value:,.0f}",
    "share": lambda value: f"{value:.1%}",
    "count": lambda value: f"{value:,.0f}",
    "number": lambda value: f"{value:,.2f}",
    "date": _day,
    "month": _month,
    "time": _time,
    "flag": lambda value: "yes" if value else "no",
    "text": str,
}


def written(value: Any, kind: Kind) -> str:
    """A value as text."""
    return NONE if value is None else _WRITTEN[kind](value)


def between(since: date, until: date) -> str:
    """Two days as text."""
    return f"{_day(since)} to {_day(until)}"


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    """Columns by name."""
    return {column.name: column for column in columns}
