"""What is declared of a system: how its export is recognised, and how it maps, each with a reason.

Belongs here: the words of a declaration. Does not belong here: any one system, or what is written
of it (`starting`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics_assets.sources.expressions import expression
from analytics_assets.sources.readers.base import fold_name


@dataclass(frozen=True)
class Mapped:
    """A column of ours in the export of a system.

    Attributes:
        ours: our column.
        forms: values of the word `columns`, as YAML has them; the first whose columns are there is
            taken.
        why: the reason, for people.
        of_order: whether it is the order's, and stands on one line of it only.
        amount: whether it is money of the order, which is split over its lines.
        fullest: take the form that is filled on most lines instead of the first.
    """

    ours: str
    forms: Sequence[Any]
    why: str
    of_order: bool = False
    amount: bool = False
    fullest: bool = False


@dataclass(frozen=True)
class Word:
    """A word of a source that a system always needs."""

    name: str
    value: Any
    why: str


@dataclass(frozen=True)
class System:
    """A system whose export is recognised.

    Attributes:
        name: what people call it.
        signature: columns that the export has, and that of no other system has all of.
        columns: how it maps.
        notes: what a person should know before the figures are used.
        statuses: the status words that it writes, to ours.
        statuses_why: the reason of these.
        words: further words of the source.
        formats: forms of times that it writes, the usual one first.
        zone_column: the column that names the time zone of the times.
        footer: regular expression of the lines behind the rows.
        missing: what to do where a required column is not there, by our name.
        tables: of several files, the signature of each, by the name of its table.
        queries: of several files, the queries that join them, with the tables that each needs; the
            first whose tables are there is taken.
    """

    name: str
    signature: tuple[str, ...]
    columns: tuple[Mapped, ...]
    notes: tuple[str, ...] = ()
    statuses: Mapping[str, str] = field(default_factory=dict)
    statuses_why: str = ""
    words: tuple[Word, ...] = ()
    formats: tuple[str, ...] = ()
    zone_column: str | None = None
    footer: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queries: tuple[tuple[tuple[str, ...], str], ...] = ()

    def fits(self, names: Collection[str]) -> bool:
        """Whether a header is that of the system's export."""
        return bool(self.signature) and has_all(names, self.signature)


def has_all(names: Collection[str], wanted: Collection[str]) -> bool:
    """Whether a header has all of some columns."""
    return {fold_name(name) for name in wanted} <= {fold_name(name) for name in names}


def columns_of(form: Any) -> tuple[str, ...]:
    """The columns of the export that a value of the word `columns` reads."""
    if isinstance(form, str):
        return (form,)
    if isinstance(form, list):
        return tuple(form)
    return expression(form["sql"]).columns if "sql" in form else ()


def filled(*names: str) -> dict[str, str]:
    """The form of the first of some columns that is filled."""
    *first, last = names
    whens = "".join(f'WHEN trim("{name}") <> \'\' THEN "{name}" ' for name in first)
    return {"sql": f'CASE {whens}ELSE "{last}" END'}
