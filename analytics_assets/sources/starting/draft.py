"""From files to a starting configuration: which column is what, and which words its values need.

Belongs here: what is decided, and from what. Does not belong here: how values are tried (`forms`),
how files are read (`exports`), what is written (`text`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import read_as, shops_day
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.expressions import expression
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.report import SourceReport
from analytics_assets.sources.starting.exports import MAX_ROWS, Table, tables_of
from analytics_assets.sources.starting.forms import (
    number_words,
    present,
    time_form,
    zone_of_names,
    zone_of_offsets,
)
from analytics_assets.sources.starting.guesses import GUESS, guessed_columns, guessed_status
from analytics_assets.sources.starting.text import Draft
from analytics_assets.sources.systems import SYSTEMS, System
from analytics_assets.sources.systems.base import Mapped, Word, columns_of, has_all
from analytics_assets.sources.systems.names import in_flow, is_address

CONTRACT = SOURCES["orders"].contract
UNKNOWN = System("an unknown system", (), ())


def drafted(paths: Sequence[Path]) -> Draft:
    """The starting configuration of some files.

    Raises:
        SourceError: a file cannot be read, or a column that is required is not there.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = tables_of(connection, paths)
        return _Drafting(connection, tables).draft()


def tried(draft: Draft) -> SourceReport:
    """What a check of the configuration says.

    Raises:
        SourceError: it would not load.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sources.yaml"
        text = draft.text(Path(folder))
        if draft.currencies:
            # Only a person knows the rates; all else is tried.
            first, *others = draft.currencies
            rates = ", ".join(f"{in_flow(code)}: 1" for code in others)
            text += f"currency: {{reporting: {in_flow(first)}, rates: {{{rates}}}}}\n"
        file.write_text(text, encoding="utf-8")
        (report,) = check_sources(load_sources(file))
    if report.problem:
        reasons = "".join(f"\n  {rows:>9,}  {why}" for why, rows in report.reasons)
        raise SourceError(
            "No configuration was found that loads the files. Correct them, or write one by hand: "
            f"{report.problem}{reasons}"
        )
    return report


class _Drafting:
    """One starting configuration in the making.

    The rows of all files are in the relation `rows`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: list[Table]) -> None:
        self.connection = connection
        self.tables = tables
        self.query: str | None = None
        self.names = {"": tables[0].paths}
        self.system = tables[0].system or UNKNOWN
        if len(tables) > 1:
            self._join()
        else:
            connection.execute(f"CREATE VIEW rows AS FROM {tables[0].name}")
        described = connection.execute("DESCRIBE rows").fetchall()
        self.header = [row[0] for row in described if row[0] != "_file"]
        self.words: list[Word] = []
        self.notes: list[str] = []

    def _join(self) -> None:
        """Take the query of the system whose tables these are."""
        for system in SYSTEMS:
            named = {
                name: table
                for table in self.tables
                for name, signature in system.tables.items()
                if has_all(table.columns, signature)
            }
            for needed, query in system.queries:
                if {*needed} == {*named} and len(named) == len(self.tables):
                    self.system, self.query = system, query
                    self.names = {name: named[name].paths for name in needed}
                    for name in needed:
                        rows = f"SELECT * EXCLUDE (_file) FROM {named[name].name}"
                        self.connection.execute(f"CREATE VIEW {name} AS {rows}")
                    self.connection.execute(
                        f"CREATE VIEW rows AS SELECT 0 AS _file, * FROM ({query})"
                    )
                    return
        listed = "; ".join(f"{t.paths[0].name} has {', '.join(t.columns[:6])}" for t in self.tables)
        raise SourceError(
            "The files have different columns, and are not those of a system that is known in "
            f"several files: {listed}. Name files of one table, or write a query that joins them: "
            "see `inputs` in docs/sources.md."
        )

    def draft(self) -> Draft:
        columns = self._columns()
        self._require(columns)
        columns, zone, config = self._times(columns)
        self._numbers(columns)
        self._customers(columns)
        self._orders(columns)
        self._status(columns)
        currencies = self._currencies(columns)
        reading = list({word.name: word for table in self.tables for word in table.words}.values())
        taken = {word.name for word in (*reading, *self.words)}
        self.words += [word for word in self.system.words if word.name not in taken]
        first = self._asked(
            f"SELECT min({shops_day(read_as('text', 'VARCHAR', dt.Timestamp(), config), config)}) "
            "FROM times"
        )
        if first is None:
            raise SourceError(
                "No order has a time that can be read. Declare its form in `timestamp_formats`."
            )
        return Draft(
            (self._title(), *self.system.notes, *self.notes),
            first.replace(day=1),
            zone,
            self.names,
            self.query,
            tuple(reading),
            tuple(Word(column.ours, column.forms[0], column.why) for column in columns),
            tuple(self.words),
            currencies,
        )

    def _title(self) -> str:
        files = ", ".join(path.name for paths in self.names.values() for path in paths[:3])
        cut = f"; of more than {MAX_ROWS:,} rows" if any(t.cut for t in self.tables) else ""
        return f"Orders of {self.system.name}, from {files}{cut}. Look at it before you load."

    def _columns(self) -> list[Mapped]:
        """Our columns, each with the one form that is taken."""
        if self.system is UNKNOWN:
            return guessed_columns(self.connection, self.header)
        columns = []
        for column in self.system.columns:
            forms = [form for form in column.forms if has_all(self.header, columns_of(form))]
            if column.fullest:
                forms.sort(key=lambda form: -self._count(f"trim({_text(form)}) <> ''"))
            if forms:
                columns.append(replace(column, forms=(forms[0],)))
        return columns

    def _require(self, columns: Sequence[Mapped]) -> None:
        given = {column.ours for column in columns}
        for name in CONTRACT.required:
            if name in given or CONTRACT.follows.get(name) in given:
                continue
            why = self.system.missing.get(
                name, f"name it in `columns`. There are: {', '.join(self.header)}"
            )
            raise SourceError(
                f"{self.tables[0].paths[0].name}: no column for {name} was recognised, and orders "
                f"need one. Write the configuration by hand: {why}. Nothing was written."
            )

    def _times(self, columns: list[Mapped]) -> tuple[list[Mapped], Word | None, SourceConfig]:
        """The columns with that of times as it is read, the shop's zone, and what reads them."""
        at = next(column for column in columns if column.ours == "ordered_at")
        form = at.forms[0]
        zone, named, in_times = None, None, False
        if self.system.zone_column and has_all(self.header, [self.system.zone_column]):
            column = self.system.zone_column
            texts = present(identifier(column), "rows")
            names = [str(text) for (text,) in self.connection.execute(texts).fetchall()]
            named, in_times = zone_of_names(names)
            if in_times:
                form = [*form, column]
                columns = [
                    replace(c, forms=(form,)) if c.ours == "ordered_at" else c for c in columns
                ]
            elif named:
                self.words.append(Word("time_zone", named, f"what {column} says"))
            elif names:
                self.notes.append(
                    f"guess: look at it. {column} says {', '.join(sorted(names)[:3])}: times are "
                    "read as they are; set time_zone and reporting_time_zone."
                )
        ends = [" %Z"] if in_times else [""]
        preferred = [f"{usual}{end}" for usual in self.system.formats for end in ends]
        found = time_form(self.connection, present(_text(form), "rows"), preferred)
        if found.formats:
            why = f"such as {found.example}"
            if found.other:
                why = (
                    f"{GUESS}. The values do not say whether day or month comes first: if it is "
                    f"the other, write {[found.other]}. They are {why}"
                )
            self.words.append(Word("timestamp_formats", list(found.formats), why))
        if found.unread:
            self.notes.append(
                f"{GUESS}. {found.unread:,} times are not read; one is not like most."
            )
        if named:
            zone = Word("reporting_time_zone", named, "the shop's days")
        elif not found.formats:
            near = zone_of_offsets(self.connection)
            if near and near != "UTC":
                why = f"{GUESS}. The offsets of all times are those of {near}; name your own zone"
                zone = Word("reporting_time_zone", near, why)
            elif near:
                self.notes.append(
                    "All times are in UTC. Set reporting_time_zone for your own days."
                )
        if any(word.name == "time_zone" for word in self.words):
            config = SourceConfig("orders", time_zone=str(named))
        else:
            config = SourceConfig("orders")
        config = replace(config, timestamp_formats=found.formats)
        return (
            columns,
            zone,
            replace(config, reporting_time_zone=str(zone.value) if zone else "UTC"),
        )

    def _numbers(self, columns: Sequence[Mapped]) -> None:
        """Words for money, and for pieces of a thing."""
        texts: list[str] = []
        for column in columns:
            type_ = CONTRACT.declared(column.ours).dtype.type
            if isinstance(type_, dt.Decimal) and column.ours != "quantity":
                texts += _number_texts(column.forms[0])
        if texts:
            union = " UNION ".join(present(text, "rows") for text in dict.fromkeys(texts))
            words, unread = number_words(self.connection, union)
            self.words += words
            signs: list[str] = next(
                (word.value for word in words if word.name == "currency_signs"), []
            )
            if len(signs) > 1:
                self.notes.append(
                    f"{GUESS}. Amounts have several signs: {', '.join(signs)}. If they are of "
                    "several currencies, the sums are wrong: split the file, or add `currency`."
                )
            if unread:
                self.notes.append(f"{GUESS}. {unread:,} forms of amounts are not read as numbers.")
        form = next((c.forms[0] for c in columns if c.ours == "quantity"), None)
        if isinstance(form, str):
            number = f"TRY_CAST(replace({_text(form)}, ',', '.') AS DOUBLE)"
            broken = self._count(f"{number} <> trunc({number})")
            if broken:
                why = f"{broken:,} lines have a quantity such as 0.35"
                self.words.append(Word("decimal_quantity", True, why))

    def _customers(self, columns: Sequence[Mapped]) -> None:
        form = next(column.forms[0] for column in columns if column.ours == "customer_id")
        text = _text(form)
        addresses, filled = (
            self._count(f"contains({text}, '@')"),
            self._count(f"trim({text}) <> ''"),
        )
        name = form if isinstance(form, str) else str(form)
        if addresses * 2 > filled or (is_address(name) and addresses == filled):
            why = "an address is the only identity: a code of it is stored, never the address"
            self.words.append(Word("customer_key", "email", why))

    def _orders(self, columns: Sequence[Mapped]) -> None:
        """What is the order's, and whether files have the same orders."""
        form = next(column.forms[0] for column in columns if column.ours == "order_id")
        order = _text(form)
        if isinstance(form, list):
            why = f"{GUESS}. Equal rows are purchases of their own"
            self.words.append(Word("duplicates", "keep", why))
        level = [column.ours for column in columns if column.of_order]
        if self.system is UNKNOWN:
            carried = ("ordered_at", "customer_id", "status", "country", "currency", "channel")
            level += [
                column.ours
                for column in columns
                if column.ours in carried and self._half_filled(order, _text(column.forms[0]))
            ]
        if level:
            why = "stands on one line of an order only, and is of all its lines"
            self.words.append(Word("order_level", level, why))
        amounts = [column.ours for column in columns if column.amount]
        if amounts:
            why = "split over the lines of the order by what they cost: the parts add up"
            self.words.append(Word("order_amounts", amounts, why))
        several = self._asked(
            f"SELECT count(*) FROM (SELECT {order} AS o FROM rows WHERE trim({order}) <> '' "
            "GROUP BY 1 HAVING count(DISTINCT _file) > 1)"
        )
        if several:
            why = f"{several:,} orders are in several files: those of the last file by name count"
            self.words.append(Word("order_snapshot", True, why))

    def _half_filled(self, order: str, text: str) -> bool:
        """Whether a value is on the first line of orders only."""
        return bool(
            self._asked(
                f"SELECT count(*) FROM (SELECT count(*) AS n, "
                f"count(nullif(trim({text}), '')) AS f FROM rows WHERE trim({order}) <> '' "
                f"GROUP BY {order}) WHERE f > 0 AND f < n"
            )
        )

    def _status(self, columns: Sequence[Mapped]) -> None:
        form = next((column.forms[0] for column in columns if column.ours == "status"), None)
        if form is None:
            return
        texts = present(f"lower({_text(form)})", "rows")
        found = [str(text) for (text,) in self.connection.execute(texts).fetchall()]
        statuses = {**self.system.statuses}
        why = self.system.statuses_why
        if "refunded_amount" not in {column.ours for column in columns} and any(
            column.ours == "refunded_amount" for column in self.system.columns
        ):
            statuses |= {word: "returned" for word in statuses if word == "refunded"}
            why = (
                "without a column of what was given back, a refunded order is given back whole, "
                "and of a part of it nothing is known"
            )
        new = [word for word in sorted(found) if word not in statuses and word != "cancelled"]
        statuses |= {word: guessed_status(word) for word in new}
        if new:
            why = f"{GUESS}: {', '.join(new)}. {why}".removesuffix(". ")
        if statuses:
            self.words.append(Word("status_map", statuses, why))

    def _currencies(self, columns: Sequence[Mapped]) -> tuple[str, ...]:
        """The codes of the amounts, where there are several."""
        form = next((column.forms[0] for column in columns if column.ours == "currency"), None)
        if form is None:
            return ()
        texts = present(f"upper({_text(form)})", "rows")
        codes = sorted(str(text) for (text,) in self.connection.execute(texts).fetchall())
        if len(codes) < 2:
            return ()
        others = ", ".join(f"{code}: ..." for code in codes[1:])
        self.notes.append(
            f"Amounts are in {' and '.join(codes)}: nothing loads before you say what a unit "
            f"is worth, with currency: {{reporting: {codes[0]}, rates: {{{others}}}}} next to "
            "calendar."
        )
        return tuple(codes)

    def _count(self, condition: str) -> int:
        return int(self._asked(f"SELECT count(*) FROM rows WHERE {condition}"))

    def _asked(self, query: str) -> Any:
        return self.connection.execute(query).fetchall()[0][0]


def _text(form: Any) -> str:
    """SQL of the text of a value of the word `columns`."""
    if isinstance(form, str):
        return identifier(form)
    if isinstance(form, list):
        return f"concat_ws(' ', {', '.join(map(identifier, form))})"
    if "value" in form:
        return literal(form["value"])
    computed = expression(form["sql"])
    return f"(({form['sql']})::VARCHAR)" if not computed.numbers else "NULL::VARCHAR"


def _number_texts(form: Any) -> Iterator[str]:
    """SQL of the texts that a number is read from."""
    if isinstance(form, dict) and "sql" in form and (numbers := expression(form["sql"]).numbers):
        yield from map(identifier, numbers)
    elif not (isinstance(form, dict) and "value" in form):
        yield _text(form)
