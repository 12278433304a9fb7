"""Sixty-two kinds of bad input: each is a good source with one thing changed.

L loads; Q the row is rejected and kept whole, with line number and reason, and the rest loads; F
the load fails with an error that names the place, and nothing changes; W loads with a warning.
"""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.checks.rows import RowRule
from analytics_assets.checks.validity import checks
from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import DayLoad
from analytics_assets.sources.load import LoadResult, load_source
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, ORDERS, Source, state_of
from analytics_assets_tests.sources.forms import (
    ALL,
    CSV,
    FORMS,
    TEXT,
    Form,
    arrow_of,
    compressed,
    csv_text,
)

PAGE = {
    1: "UTF-8 BOM", 2: "CRLF", 3: "mixed line ends", 4: "CR only", 5: "Latin-1 not declared",
    6: "UTF-16 not declared", 7: "quoted line break", 8: "doubled quotes",
    9: "unterminated quote", 10: "NUL byte", 11: "a field too many", 12: "a field too few",
    13: "no final line end", 14: "cut last row", 15: "columns reordered",
    16: "required column missing", 17: "unknown column", 18: "duplicate header",
    19: "header case and space", 20: "empty file", 21: "header only", 22: "cut gzip",
    23: "corrupt gzip", 24: "gz that is no gzip", 25: "cut or empty Parquet",
    26: "flipped bytes in Parquet", 27: "Parquet type drift", 28: "decimal comma not declared",
    29: "thousands separator not declared", 30: "NaN, inf", 31: "integer overflow",
    32: "quantity 2.7", 33: "money with more decimals than stored", 34: "identifier 1e3",
    35: "identifier 00123", 36: "negative quantity", 37: "zero or negative price",
    38: "NULL word, empty, quoted empty", 39: "white space around", 40: "impossible date",
    41: "03/04/2024 with no declared format", 42: "time with an offset",
    43: "local time in a DST gap or overlap", 44: "future date", 45: "year 1970 or 9999",
    46: "exact duplicate", 47: "same key, other content",
    48: "customer or product not in its source", 49: "unknown status",
    50: "amount is not quantity x price", 51: "SQL in a value", 52: "formula in a value",
    53: "zero-width and composed Unicode in ids", 54: "a field of 10 MB",
    55: "late row for an old day", 56: "backdated correction", 57: "row deleted at the source",
    58: "the same file under another name", 59: "the same name, new content",
    60: "volume off by more than 90%", 61: "database changes while it is read",
    62: "order date missing",
}  # fmt: skip
# What a load lets through on purpose: the layer behind decides, and its tests say so.
LATER = {
    36: "test_bad_input_later.py",
    37: "test_bad_input_later.py",
    46: "test_bad_input_later.py",
    47: "test_bad_input_later.py",
    48: "test_bad_input_later.py",
    53: "test_bad_input_later.py",
    55: "test_bad_input_later.py",
    56: "test_bad_input_later.py",
    57: "test_bad_input_later.py",
}
COVERED: set[int] = set()
SAME_TEXT = ("csv.gz", "csv.zst")
NO_OBJECT = "not a JSON object, or one with a member twice"

ROWS = [
    {
        "order_id": f"O{n}",
        "ordered_at": f"2024-01-{n + 1:02} 10:00:00",
        "customer_id": f"C{n}",
        "product_id": f"P{n}",
        "quantity": "2",
        "unit_price": "3.5",
    }
    for n in range(1, 6)
]
CHANGED = 2  # index of the row that is changed: row 3, and line 4 of a CSV


def case(number: int, *forms: str) -> Callable[[Any], Any]:
    """A test of one case of the page, over the forms to which it applies."""
    COVERED.add(number)
    # Beside a CSV the compressed ones are slow: what is read is the same text.
    slow = SAME_TEXT if "csv" in forms else ()
    params = [
        pytest.param(
            form,
            id=f"{number:02} {PAGE[number]}-{form}",
            marks=[pytest.mark.slow] if form in slow else [],
        )
        for form in forms
    ]
    return pytest.mark.parametrize("trial", params, indirect=True)


@dataclass(frozen=True)
class Outcome:
    """What a load gave before it was rolled back."""

    result: LoadResult
    state: dict[str, list[Any]]
    raw: list[dict[str, Any]]
    rejected: list[tuple[Any, ...]]

    @property
    def orders(self) -> list[str]:
        return [row["order_id"] for row in self.raw]


class Trial(Source):
    """A source whose good rows were loaded wholly; what a test loads besides is rolled back."""

    def __init__(self, folder: Path, form: Form) -> None:
        super().__init__(folder)
        self.form = form
        self.empty()
        result = self.load(form.write(self, ROWS))
        assert (result.total, result.reasons, result.warnings) == (DayLoad(5, 5, 0), {}, ())
        self.good = self.state()
        assert len(self.good["raw_orders"]) == 5

    @contextmanager
    def undone(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._memory
        assert connection is not None
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def attempt(
        self, config: SourceConfig, window: Window = JANUARY, calendar: Calendar = CALENDAR
    ) -> Outcome:
        with self.undone() as connection:
            result = load_source(connection, config, calendar, window, datetime(2024, 2, 1, 12))
            raw = connection.execute("FROM raw.raw_orders ORDER BY source_file, source_row")
            names = [column[0] for column in raw.description]
            rows = [dict(zip(names, row, strict=True)) for row in raw.fetchall()]
            rejected = connection.execute(
                "SELECT source_row, source_line, reasons, row FROM raw.rejected_rows ORDER BY ALL"
            ).fetchall()
            total = result.total
            assert (total.accepted, total.rejected) == (len(rows), len(rejected))
            assert total.read == total.accepted + total.rejected
            return Outcome(result, state_of(connection), rows, rejected)

    def loads(self, config: SourceConfig | None = None) -> LoadResult:
        """The load gives what the good rows gave."""
        outcome = self.attempt(config or self.form.config(self))
        for table in ("raw_orders", "rejected_rows"):
            assert outcome.state[table] == self.good[table]
        return outcome.result

    def fails(self, *sentences: str, config: SourceConfig | None = None) -> None:
        """The load fails with these words, and nothing changes."""
        with self.undone(), pytest.raises(SourceError) as caught:
            self.attempt_within(config or self.form.config(self))
        for sentence in sentences:
            assert sentence in str(caught.value)
        assert len(str(caught.value)) < 700
        assert str(self.folder) not in str(caught.value)
        assert self.state() == self.good

    def attempt_within(self, config: SourceConfig) -> None:
        assert self._memory is not None
        load_source(self._memory, config, CALENDAR, JANUARY, datetime(2024, 2, 1, 12))

    def rejects(
        self,
        reason: str,
        kept: dict[str, Any] | str,
        config: SourceConfig | None = None,
        row: int = CHANGED + 1,
        loaded: Sequence[str] = ("O1", "O2", "O4", "O5"),
    ) -> Outcome:
        """One row is rejected and kept whole, as text or by columns; the others load."""
        outcome = self.attempt(config or self.form.config(self))
        assert outcome.orders == list(loaded)
        ((number, line, reasons, held),) = outcome.rejected
        assert (number, line, reasons) == (row, self.line(row), reason)
        assert json.loads(held) == ({"_text": kept} if isinstance(kept, str) else kept)
        assert outcome.result.reasons == {reason: 1}
        return outcome

    def line(self, row: int) -> int | None:
        """Where a row begins, if no row before has a line break."""
        return {"csv": row + 1, "jsonl": row}.get(self.form.format)

    def kept(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as the source holds it."""
        if self.form.format == "jsonl":
            return {name: value for name, value in row.items() if value is not None}
        if self.form.format == "csv":
            return {name: value or None for name, value in row.items()}
        return row

    @property
    def text(self) -> str:
        """The good rows."""
        return self.form.text(ROWS)

    def put_row(self, line: str) -> None:
        """The good rows, with another text in place of the third."""
        lines = self.text.splitlines()
        lines[CHANGED + (self.form.format == "csv")] = line
        self.form.put(self, "\n".join(lines) + "\n")


def changed(**values: Any) -> list[dict[str, Any]]:
    """The good rows with other values in the third."""
    return [{**row, **values} if n == CHANGED else row for n, row in enumerate(ROWS)]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    made: dict[str, Trial] = {}

    class Made(dict[str, Trial]):
        def __missing__(self, form: str) -> Trial:
            self[form] = Trial(tmp_path_factory.mktemp(form.replace(".", "_")), FORMS[form])
            return self[form]

    return Made(made)


@pytest.fixture
def trial(trials: dict[str, Trial], request: pytest.FixtureRequest) -> Trial:
    return trials[request.param]


def test_every_case_of_the_page_has_a_test() -> None:
    assert {*COVERED, *LATER} == set(PAGE) == set(range(1, 63))
    for number, file in LATER.items():
        text = Path(__file__).with_name(file).read_text()
        assert f"\ndef test_case_{number}_" in text, PAGE[number]


# The form of a file.


@case(1, *TEXT)
def test_a_byte_order_mark(trial: Trial) -> None:
    trial.form.put(trial, b"\xef\xbb\xbf" + trial.text.encode())
    trial.loads()


@case(2, *TEXT)
def test_crlf(trial: Trial) -> None:
    trial.form.put(trial, trial.text.replace("\n", "\r\n"))
    trial.loads()


@case(3, *TEXT)
@pytest.mark.parametrize("ends", [("\n", "\r\n"), ("\n", "\r"), ("\r\n", "\r")])
def test_mixed_line_ends(trial: Trial, ends: tuple[str, str]) -> None:
    lines = trial.text.splitlines()
    for first in (0, 1):
        mixed = "".join(line + ends[(n + first) % 2] for n, line in enumerate(lines))
        trial.form.put(trial, mixed)
        try:
            trial.loads()
        except SourceError:
            trial.fails(trial.form.path)


@case(4, *TEXT)
def test_cr_only(trial: Trial) -> None:
    trial.form.put(trial, trial.text.replace("\n", "\r"))
    trial.loads()


@case(5, *TEXT)
def test_latin_1(trial: Trial) -> None:
    content = trial.form.text(changed(customer_id="Zoë")).encode("latin-1")
    trial.form.put(trial, content)
    trial.fails(f"{trial.form.path}, line {trial.line(3)}: not UTF-8", "encoding")
    outcome = trial.attempt(trial.form.config(trial, encoding="latin-1"))
    assert outcome.raw[CHANGED]["customer_id"] == "Zoë"
    assert len(outcome.raw) == 5


@case(6, *TEXT)
def test_utf_16(trial: Trial) -> None:
    trial.form.put(trial, trial.text.encode("utf-16"))
    trial.fails(f"{trial.form.path}, line 1: not UTF-8", "encoding")
    trial.loads(trial.form.config(trial, encoding="utf-16"))
    trial.form.put(trial, trial.text.encode("utf-16-le"))  # ASCII with NUL bytes, for who reads so
    trial.fails(trial.form.path, *(["encoding"] if trial.form.format == "jsonl" else []))
    trial.loads(trial.form.config(trial, encoding="utf-16-le"))


@case(7, *ALL)
def test_a_quoted_line_break(trial: Trial) -> None:
    texts = ["C\n\n3", "C\r\n\r\n3", "C,\n3"]
    rows = [{**row, "customer_id": text} for row, text in zip(ROWS, texts, strict=False)]
    rows += [{**ROWS[3], "quantity": "x"}, ROWS[4]]
    outcome = trial.attempt(trial.form.write(trial, rows))
    assert outcome.orders == ["O1", "O2", "O3", "O5"]
    assert [row["customer_id"] for row in outcome.raw] == [*texts, "C5"]
    ((row, line, _, kept),) = outcome.rejected
    breaks = "".join(texts).count("\n") if trial.form.format == "csv" else 0
    assert (row, line) == (4, (trial.line(4) or 0) + breaks or None)
    assert json.loads(kept) == trial.kept(rows[3])


@case(8, *ALL)
def test_doubled_quotes(trial: Trial) -> None:
    texts = ['C"3"', '"', '""', 'a","b', '"a"\n"b"']
    rows = [{**row, "customer_id": text} for row, text in zip(ROWS, texts, strict=True)]
    outcome = trial.attempt(trial.form.write(trial, rows))
    assert [row["customer_id"] for row in outcome.raw] == texts


@case(9, *TEXT)
@pytest.mark.parametrize("column", ["order_id", "customer_id", "unit_price"])
def test_an_unterminated_quote(trial: Trial, column: str) -> None:
    good = trial.text.splitlines()[CHANGED + (trial.form.format == "csv")]
    value = ROWS[CHANGED][column]
    if trial.form.format == "csv":
        line, reason = good.replace(value, f'"{value}', 1), "malformed: unexpected end of data"
    else:
        line, reason = good.replace(f'"{value}"', f'"{value}', 1), NO_OBJECT
    assert line.count('"') % 2
    trial.put_row(line)
    trial.rejects(reason, line)


@case(10, *ALL)
@pytest.mark.parametrize("column", ["order_id", "customer_id"])
def test_a_nul_byte(trial: Trial, column: str) -> None:
    rows = changed(**{column: "a\0b"})
    config = trial.form.write(trial, rows)
    if trial.form.format == "jsonl":
        text = trial.form.text([rows[CHANGED]]).rstrip()
        assert "\\u0000" in text
        trial.rejects("a NUL byte", text, config)
        trial.put_row(text.replace("\\u0000", "\0"))
        trial.rejects("a NUL byte", text.replace("\\u0000", "\0"), config)
    elif trial.form.format == "csv":
        line = csv_text([rows[CHANGED]]).splitlines()[1]
        assert "a\0b" in line
        trial.rejects("a NUL byte", line, config)
    else:
        trial.rejects(f"{column}: a NUL byte", trial.kept(rows[CHANGED]), config)


@case(11, *CSV)
@pytest.mark.parametrize("more", [",", ",x", ",,,"])
def test_a_field_too_many(trial: Trial, more: str) -> None:
    line = trial.text.splitlines()[CHANGED + 1] + more
    trial.put_row(line)
    trial.rejects(f"too many fields: {6 + more.count(',')} for 6 columns", line)


@case(12, *TEXT)
def test_a_field_too_few(trial: Trial) -> None:
    if trial.form.format == "jsonl":
        rows = changed(quantity=None)
        trial.rejects("quantity: missing", trial.kept(rows[CHANGED]), trial.form.write(trial, rows))
        return
    for fields in range(1, 6):
        line = ",".join(trial.text.splitlines()[CHANGED + 1].split(",")[:fields])
        trial.put_row(line)
        trial.rejects(f"too few fields: {fields} for 6 columns", line)


@case(13, *TEXT)
def test_no_final_line_end(trial: Trial) -> None:
    trial.form.put(trial, trial.text.rstrip("\n"))
    trial.loads()


@case(14, *TEXT)
def test_a_cut_last_row(trial: Trial) -> None:
    start = trial.text.rindex("\n", 0, -1) + 1
    last = trial.text[start:-1]
    # A cut within the last field of a CSV leaves a whole row; nothing in the file says otherwise.
    end = last.rindex(",") + 1 if trial.form.format == "csv" else len(last)
    for cut in {1, 2, end // 2, end - 2, end - 1}:
        trial.form.put(trial, trial.text[:start] + last[:cut])
        reason = NO_OBJECT
        if trial.form.format == "csv":
            reason = f"too few fields: {last[:cut].count(',') + 1} for 6 columns"
        trial.rejects(reason, last[:cut], row=5, loaded=("O1", "O2", "O3", "O4"))


# Columns.


@case(15, *ALL)
def test_columns_reordered(trial: Trial) -> None:
    trial.loads(trial.form.write(trial, ROWS, ORDERS[::-1]))


@case(16, *ALL)
@pytest.mark.parametrize("column", ["order_id", "unit_price"])
def test_a_required_column_is_missing(trial: Trial, column: str) -> None:
    columns = [name for name in ORDERS if name != column]
    trial.form.write(trial, ROWS, columns)
    name = "orders" if trial.form.format == "duckdb" else trial.form.path
    line = ", line 1" if trial.form.format == "csv" else ""
    trial.fails(f"{name}{line}: there is no column '{column}'", ", ".join(columns))


@case(17, *ALL)
def test_an_unknown_column(trial: Trial) -> None:
    rows = [{**row, "colour": "red", "size": None} for row in ROWS]
    columns = (*ORDERS[:2], "colour", *ORDERS[2:])
    result = trial.loads(trial.form.write(trial, rows, columns))
    assert [text for text in result.warnings if "columns that nothing reads: colour" in text]


@case(18, *CSV)
@pytest.mark.parametrize("name", ["quantity", "Quantity", " quantity"])
def test_a_duplicate_header(trial: Trial, name: str) -> None:
    lines = trial.text.splitlines()
    trial.form.put(trial, "\n".join([f"{lines[0]},{name}", *(f"{x},7" for x in lines[1:])]))
    trial.fails(f"{trial.form.path}, line 1: column 'quantity' appears twice in the header")


@case(18, "jsonl")
def test_a_duplicate_member(trial: Trial) -> None:
    line = trial.text.splitlines()[CHANGED].replace("}", ', "quantity": "7"}')
    trial.put_row(line)
    trial.rejects(NO_OBJECT, line)


@case(18, "parquet", "query")
@pytest.mark.parametrize("name", ["quantity", "Quantity"])
def test_a_duplicate_column(trial: Trial, name: str) -> None:
    table = arrow_of(ROWS)
    double = table.append_column(name, pa.array(["7"] * 5))
    config = trial.form.config(trial)
    if trial.form.format == "parquet":
        trial.form.write_arrow(trial, double)
    else:
        trial.form.write_arrow(trial, table)
        query = f"SELECT *, '7' AS {name} FROM orders"
        config = trial.form.config(trial, query=query)
    trial.fails("column 'quantity' appears twice", config=config)


@case(19, *ALL)
@pytest.mark.parametrize("change", [str.upper, lambda name: f" {name} ", str.title])
def test_header_case_and_space(trial: Trial, change: Callable[[str], str]) -> None:
    rows = [{change(name): value for name, value in row.items()} for row in ROWS]
    result = trial.loads(trial.form.write(trial, rows, [change(name) for name in ORDERS]))
    assert result.warnings == ()


# Whole files.


@case(20, *TEXT)
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n", b"\r\n\r\n"])
def test_an_empty_file(trial: Trial, content: bytes) -> None:
    trial.form.put(trial, content)
    trial.fails(f"{trial.form.path}: the file is empty")


@case(20, *TEXT)
def test_a_file_of_no_byte(trial: Trial) -> None:
    trial.write(trial.form.path, b"")
    trial.fails(trial.form.path)


@case(21, *CSV, "parquet", "duckdb")
def test_a_header_only(trial: Trial) -> None:
    outcome = trial.attempt(trial.form.write(trial, []))
    assert outcome.result.total == DayLoad(0, 0, 0)
    assert outcome.raw == []
    assert [text for text in outcome.result.warnings if "no rows" in text]


@case(22, "csv.gz", "csv.zst", "jsonl.gz")
def test_a_cut_gzip(trial: Trial) -> None:
    whole = compressed(trial.form.text(ROWS * 40).encode(), trial.form.path)
    trial.write(trial.form.path, whole)
    assert trial.attempt(trial.form.config(trial)).result.total.read == 200
    for cut in (1, 5, 12, len(whole) // 2, len(whole) - 9, len(whole) - 4, len(whole) - 1):
        trial.write(trial.form.path, whole[:cut])
        trial.fails(trial.form.path)


@case(22, "csv.gz")
def test_a_gzip_of_two_members_is_whole(trial: Trial) -> None:
    half = trial.text.index("O3")
    members = [compressed(part.encode(), ".gz") for part in (trial.text[:half], trial.text[half:])]
    trial.write(trial.form.path, b"".join(members))
    trial.loads()


@case(23, "csv.gz", "jsonl.gz")
def test_a_corrupt_gzip(trial: Trial) -> None:
    whole = compressed(trial.text.encode(), ".gz")
    # The header of ten bytes has a time and a system, which may be anything.
    for at in (0, 1, 2, *range(10, len(whole), 7), len(whole) - 1):
        flipped = bytearray(whole)
        flipped[at] ^= 0xFF
        trial.write(trial.form.path, bytes(flipped))
        trial.fails(trial.form.path)


@case(24, "csv.gz", "csv.zst", "jsonl.gz")
def test_a_gz_that_is_no_gzip(trial: Trial) -> None:
    trial.write(trial.form.path, trial.text)
    trial.fails(f"{trial.form.path} is no whole", "Deliver")


@case(25, "parquet")
def test_a_cut_or_empty_parquet(trial: Trial) -> None:
    trial.form.write(trial, ROWS)
    path = trial.folder / "in" / trial.form.path
    whole = path.read_bytes()
    for cut in (0, 1, 4, 8, 12, len(whole) // 2, len(whole) - 8, len(whole) - 4, len(whole) - 1):
        path.write_bytes(whole[:cut])
        trial.fails("orders.parquet: no whole Parquet file")
    path.write_bytes(whole[10:])
    trial.fails("orders.parquet")


@case(26, "parquet")
def test_flipped_bytes_in_parquet(trial: Trial) -> None:
    config = trial.form.config(trial)
    path = trial.folder / "in" / trial.form.path
    pq.write_table(arrow_of(ROWS), path, write_page_checksum=True)
    trial.loads()
    whole = path.read_bytes()
    failed = 0
    for at in range(0, len(whole), 29):
        flipped = bytearray(whole)
        flipped[at] ^= 0x41
        path.write_bytes(bytes(flipped))
        try:
            # A byte that nobody reads, such as one of a statistic, may be anything.
            trial.loads(config)
        except SourceError:
            trial.fails("orders.parquet")
            failed += 1
    assert failed > 20


@case(27, "parquet")
@pytest.mark.parametrize("values", [pa.array([2] * 5), pa.array([2.0] * 5)], ids=["int", "float"])
def test_parquet_type_drift(trial: Trial, tmp_path: Path, values: pa.Array) -> None:
    drifting = Trial(tmp_path, trial.form)
    at = ORDERS.index("quantity")
    drifted = arrow_of(ROWS).set_column(at, "quantity", values)
    pq.write_table(drifted, drifting.folder / "in" / "orders_2.parquet")
    drifting.fails(
        "orders_2.parquet: column 'quantity' is",
        "string in orders.parquet",
        config=drifting.config("*.parquet", format="parquet"),
    )


# Values.

WHOLE, MONEY = "not a whole number of 32 bits", "not a number of at most 4 decimals"
TIME, MISSING, OUTSIDE = "not a time in the declared format", "missing", "outside the calendar"
FRACTION = "a fraction; `decimal_quantity: true` accepts quantities with decimals"
DAY_OR_MONTH = (
    "of the form 1/2/2024, where day or month comes first: declare `timestamp_formats`, "
    "such as ['%m/%d/%Y'] or ['%d/%m/%Y']"
)
BERLIN = f"{TIME}, or not once in Europe/Berlin"
STATUS = "none of cancelled, completed, pending, returned"
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0")
SQL = "'); DROP TABLE raw.raw_orders; --"


@dataclass(frozen=True)
class Q:
    """The row is rejected for this reason."""

    reason: str


@dataclass(frozen=True)
class Values:
    """Values that a column is given, each in a row of its own, and what becomes of them."""

    number: int
    column: str
    becomes: dict[str, Any]
    words: dict[str, Any] | None = None


VALUES = [
    Values(28, "unit_price", {"3,5": Q(MONEY), "3,50": Q(MONEY)}),
    Values(28, "unit_price", {"3,5": Decimal("3.5"), "3.5": Q(MONEY)}, {"decimal": ","}),
    Values(29, "unit_price", {"1,000.00": Q(MONEY), "1.000": Decimal(1), "1'000": Q(MONEY)}),
    Values(29, "quantity", {"1,000": Q(WHOLE), "1.000": Q(WHOLE), "1 000": Q(WHOLE)}),
    Values(
        29,
        "unit_price",
        {"1.000,5": Decimal("1000.5"), "10.00,5": Q(MONEY), "1,000.5": Q(MONEY)},
        {"decimal": ",", "thousands": "."},
    ),
    Values(30, "unit_price", dict.fromkeys(["NaN", "nan", "inf", "-Infinity", "∞"], Q(MONEY))),
    Values(30, "quantity", dict.fromkeys(["NaN", "inf"], Q(WHOLE))),
    Values(31, "quantity", {"2147483648": Q(WHOLE), "-2147483649": Q(WHOLE), "9" * 40: Q(WHOLE)}),
    Values(31, "quantity", {"2147483647": 2147483647, "-2147483648": -2147483648}),
    Values(31, "unit_price", {"100000000000000": Q(MONEY), "9" * 14: Decimal("9" * 14)}),
    Values(32, "quantity", {"2.7": Q(FRACTION), "2.0": 2, "2.": Q(WHOLE)}),
    Values(33, "unit_price", {"3.50001": Q(MONEY), "3.50000": Decimal("3.5")}),
    Values(
        33,
        "unit_price",
        {"3.50005": Decimal("3.5001"), "3.50004": Decimal("3.5"), "-1.00005": Decimal("-1.0001")},
        {"rounding": "half_up"},
    ),
    Values(34, "order_id", {"1e3": "1e3", "1E3": "1E3", "1e400": "1e400"}),
    Values(35, "order_id", {"00123": "00123", "0": "0", "123.0": "123", "+1": "+1"}),
    Values(38, "customer_id", {"": None, "  ": None, "NULL": None, "n/a": None}),
    Values(
        38,
        "customer_id",
        {"NULL": None, "null": None, " n/a ": None, "n/a-1": "n/a-1"},
        {"null_words": ("Null", "N/A")},
    ),
    Values(38, "quantity", {"-1": Q(f"quantity: {MISSING}"), "1": 1}, {"null_words": ("-1",)}),
    Values(38, "quantity", {"": Q(f"quantity: {MISSING}")}),
    Values(40, "ordered_at", {"2024-02-30": Q(TIME), "2024-01-02 25:00:00": Q(TIME)}),
    Values(40, "ordered_at", {"2023-02-29": Q(TIME), "0000-00-00 00:00:00": Q(TIME)}),
    Values(41, "ordered_at", dict.fromkeys(["03/04/2024", "3.4.2024"], Q(DAY_OR_MONTH))),
    Values(41, "ordered_at", {"20240103": Q(TIME)}),
    Values(
        41,
        "ordered_at",
        {"03/01/2024": datetime(2024, 1, 3), "2024-01-03": Q(TIME)},
        {"timestamp_formats": ("%d/%m/%Y",)},
    ),
    Values(
        42,
        "ordered_at",
        {
            "2024-01-03T10:00:00+02:00": datetime(2024, 1, 3, 8),
            "2024-01-03 10:00:00Z": datetime(2024, 1, 3, 10),
            "2024-01-03T23:30:00-0130": datetime(2024, 1, 4, 1),
            "2024-01-01T00:30:00+01:00": Q(OUTSIDE),
            "2024-02-01T00:30:00+01:00": datetime(2024, 1, 31, 23, 30),
        },
    ),
    Values(
        42,
        "ordered_at",
        {"2024-01-03 10:00:00": datetime(2024, 1, 3, 9)},
        {"time_zone": "Europe/Berlin"},
    ),
    Values(44, "ordered_at", {"2024-02-01": Q(OUTSIDE), "2031-01-01": Q(OUTSIDE)}),
    Values(45, "ordered_at", {"1970-01-01": Q(OUTSIDE), "9999-12-31 23:59:59": Q(OUTSIDE)}),
    Values(49, "status", {"shipped": Q(STATUS), "Pending": "pending"}),
    Values(
        49,
        "status",
        {"shipped": "completed", "": None},
        {"status_map": {"Shipped": "completed"}},
    ),
    Values(51, "customer_id", {SQL: SQL, "' OR 1=1 --": "' OR 1=1 --", '"; --': '"; --'}),
    Values(52, "customer_id", {text: text for text in FORMULAS}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "trial"),
    [
        pytest.param(
            values,
            form,
            id=f"{values.number:02} {PAGE[values.number]}-{n}-{form}",
            # Text is typed by the same SQL, wherever it came from.
            marks=[pytest.mark.slow] if form not in ("csv", "parquet") else [],
        )
        for n, values in enumerate(VALUES)
        for form in ALL
    ],
    indirect=["trial"],
)
def test_values(trial: Trial, values: Values) -> None:
    texts = list(values.becomes)
    base = {**ROWS[CHANGED], "status": "completed"}
    zone = (values.words or {}).get("time_zone")
    rows = [{**row, "status": "completed"} for row in ROWS[:CHANGED]]
    if "timestamp_formats" in (values.words or {}) or (values.words or {}).get("decimal"):
        rows = []  # good rows of other forms would be none here
        base |= {"ordered_at": "03/01/2024", "unit_price": "3"}
        if "decimal" in (values.words or {}):
            base["ordered_at"] = ROWS[CHANGED]["ordered_at"]
    rows += [{**base, values.column: text, "product_id": f"V{n}"} for n, text in enumerate(texts)]
    rows.append({**base, "product_id": "last"})
    config = trial.form.write(
        trial, rows, (*ORDERS, "status"), max_rejected_share=1, **(values.words or {})
    )
    outcome = trial.attempt(config)
    assert zone or outcome.raw[-1]["product_id"] == "last"

    expected = [
        (
            n,
            trial.line(n),
            what.reason
            if what.reason.startswith(values.column)
            else f"{values.column}: {what.reason}",
            trial.kept(rows[n - 1]),
        )
        for n, what in enumerate(values.becomes.values(), len(rows) - len(texts))
        if isinstance(what, Q)
    ]
    assert [(*row[:3], json.loads(row[3])) for row in outcome.rejected] == expected
    stored = {row["product_id"]: row[values.column] for row in outcome.raw}
    assert len(outcome.raw) == len(rows) - len(expected)
    for n, what in enumerate(values.becomes.values()):
        if not isinstance(what, Q):
            assert stored[f"V{n}"] == what
    COVERED.add(values.number)


COVERED.update(values.number for values in VALUES)


@case(38, *CSV)
def test_a_quoted_empty_text_is_missing_too(trial: Trial) -> None:
    trial.put_row(trial.text.splitlines()[CHANGED + 1].replace("C3", '""'))
    assert trial.attempt(trial.form.config(trial)).raw[CHANGED]["customer_id"] is None


@case(39, *ALL)
def test_white_space_around_is_trimmed_and_what_collides_is_counted(trial: Trial) -> None:
    blanks = [" ", "\t", "\u00a0", "\u200b", "\ufeff "]
    text = "customer_id: white space trimmed in 5 rows; {} identifiers then equal one that came"
    rows = [
        {**row, "customer_id": f"{blank}{row['customer_id']}{blank}", "quantity": f"{blank}2",
         "unit_price": f"3.5{blank}", "ordered_at": f"{blank}{row['ordered_at']}"}
        for row, blank in zip(ROWS, blanks, strict=True)
    ]  # fmt: skip
    (warning,) = trial.loads(trial.form.write(trial, rows)).warnings
    assert warning.startswith(text.format(0))
    outcome = trial.attempt(trial.form.write(trial, [*rows, *ROWS[:2]]))
    (warning,) = outcome.result.warnings
    assert warning.startswith(text.format(2))


@case(43, *ALL)
def test_a_local_time_that_is_skipped_or_twice(trial: Trial, tmp_path: Path) -> None:
    times = {
        "2024-03-31 01:59:59": datetime(2024, 3, 31, 0, 59, 59),
        "2024-03-31 02:30:00": None,  # skipped
        "2024-03-31 03:00:00": datetime(2024, 3, 31, 1),
        "2024-10-27 02:30:00": None,  # twice
        "2024-10-27 03:00:00": datetime(2024, 10, 27, 2),
        "2024-10-27 02:30:00+02:00": datetime(2024, 10, 27, 0, 30),  # said which
        "2024-10-27 02:30:00+01:00": datetime(2024, 10, 27, 1, 30),
    }
    rows = [{**ROWS[0], "ordered_at": text} for text in times]
    march = Source(tmp_path)
    config = trial.form.write(march, rows, time_zone="Europe/Berlin")
    span = Window(date(2024, 3, 1), date(2024, 11, 1))
    march.load(config, span, Calendar(span.start, span.end))
    found = march.rows("SELECT ordered_at FROM raw.raw_orders ORDER BY source_row")
    assert [row[0] for row in found] == [time for time in times.values() if time]
    assert march.rows("SELECT source_row, reasons FROM raw.rejected_rows ORDER BY 1") == [
        (n, f"ordered_at: {BERLIN}") for n in (2, 4)
    ]


def assert_too_long(trial: Trial, column: str) -> None:
    rows = [{"note": "", **row} for row in changed(**{column: "x" * 10_000_000})]
    outcome = trial.attempt(trial.form.write(trial, rows, (*ORDERS, "note")))
    assert outcome.orders == ["O1", "O2", "O4", "O5"]
    ((row, line, reason, kept),) = outcome.rejected
    assert (row, line) == (3, trial.line(3))
    assert "longer than 1,000,000" in reason
    assert "x" * 10_000_000 in kept


@case(50, *ALL)
def test_an_amount_that_is_not_quantity_times_price(trial: Trial) -> None:
    """It loads, and the check of the facts warns of that row and no other."""
    columns = (*ORDERS, "amount")
    rows = [{**row, "amount": "7.01" if n == CHANGED else "7.00"} for n, row in enumerate(ROWS)]
    config = trial.form.write(trial, rows, columns)
    sources = SourcesConfig(CALENDAR, {"orders": config})
    (rule,) = [c.rule for c in checks(sources) if c.name == "amount_is_quantity_times_price"]
    assert isinstance(rule, RowRule)
    with trial.undone() as connection:
        load_source(connection, config, CALENDAR, JANUARY, datetime(2024, 2, 1))
        found = connection.execute(
            "SELECT order_id FROM (SELECT *, quantity * unit_price AS extended_amount FROM "
            f"raw.raw_orders) WHERE {rule.applies} AND {rule.broken}"
        ).fetchall()
    assert found == [(ROWS[CHANGED]["order_id"],)]


@case(54, *ALL)
def test_a_field_of_ten_megabytes(trial: Trial) -> None:
    assert_too_long(trial, "customer_id")


@case(54, "csv", "jsonl")
def test_a_field_of_ten_megabytes_that_nothing_reads(trial: Trial) -> None:
    assert_too_long(trial, "note")


@case(62, *ALL)
@pytest.mark.parametrize("text", ["", "NULL"])
def test_an_order_date_is_missing(trial: Trial, text: str) -> None:
    rows = changed(ordered_at=text)
    config = trial.form.write(trial, rows, null_words=("NULL",))
    trial.rejects("ordered_at: missing", trial.kept(rows[CHANGED]), config)
    # Counted once, whatever the windows, and lost never.
    read = rejected = 0
    with trial.undone() as connection:
        for window in (
            Window(date(2024, 1, 1), date(2024, 1, 2)),
            Window(date(2024, 1, 2), date(2024, 1, 5)),
            Window(date(2024, 1, 5), date(2024, 2, 1)),
        ):
            loaded = load_source(connection, config, CALENDAR, window, datetime(2024, 2, 1))
            read += loaded.total.read
            rejected += loaded.total.rejected
        assert (read, rejected) == (5, 1)
        assert connection.execute("SELECT count(*) FROM raw.rejected_rows").fetchone() == (1,)


# Values that come typed: nothing was text, and still nothing is guessed.

NAN, INF = float("nan"), float("inf")
THIRD = datetime(2024, 1, 3)
SECONDS = 1704240000  # of that day
BERLIN_TIME, NANO = pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns")

TYPED: list[tuple[int, str, pa.Array, list[Any]]] = [
    (30, "unit_price", pa.array([NAN, INF, 3.5]), [Q(MONEY), Q(MONEY), Decimal("3.5")]),
    (30, "quantity", pa.array([NAN, INF, 2.0]), [Q(WHOLE), Q(WHOLE), 2]),
    (31, "quantity", pa.array([2**31, -(2**31) - 1, 7]), [Q(WHOLE), Q(WHOLE), 7]),
    (31, "quantity", pa.array([2**64 - 1, 1, 7], pa.uint64()), [Q(WHOLE), 1, 7]),
    (31, "unit_price", pa.array([1e14, 1e300, 1.0]), [Q(MONEY), Q(MONEY), Decimal(1)]),
    (32, "quantity", pa.array([2.7, 2.0, -1.5]), [Q(FRACTION), 2, Q(FRACTION)]),
    (32, "quantity", pa.array([Decimal("2.7"), Decimal(2), Decimal(3)]), [Q(FRACTION), 2, 3]),
    (33, "unit_price", pa.array([3.50001, 0.1, 1 / 3]), [Q(MONEY), Decimal("0.1"), Q(MONEY)]),
    (
        33,
        "unit_price",
        pa.array([Decimal("3.50001"), Decimal("3.50000"), Decimal(1)]),
        [Q(MONEY), Decimal("3.5"), Decimal(1)],
    ),
    (
        33,
        "unit_price",
        pa.array([3.3, 2.5, 0.1], pa.float32()),
        [Decimal("3.3"), Decimal("2.5"), Decimal("0.1")],
    ),
    (35, "order_id", pa.array([123.0, 1e14, 5.0]), ["123", "100000000000000", "5"]),
    (35, "order_id", pa.array([2**63 - 1, 0, -1]), [str(2**63 - 1), "0", "-1"]),
    (38, "customer_id", pa.array([7.0, None, NAN]), ["7", None, None]),
    (62, "ordered_at", pa.array([None, THIRD, THIRD]), [Q(MISSING), THIRD, THIRD]),
    (
        42,
        "ordered_at",
        pa.array([datetime(2024, 1, 3, 8)] * 3, BERLIN_TIME),
        [datetime(2024, 1, 3, 8)] * 3,
    ),
    (
        44,
        "ordered_at",
        pa.array([date(2024, 2, 1), date(2024, 1, 3), date(2025, 1, 1)]),
        [Q(OUTSIDE), THIRD, Q(OUTSIDE)],
    ),
    (
        45,
        "ordered_at",
        pa.array([0, 253402300799, SECONDS], pa.timestamp("s")),
        [Q(OUTSIDE), Q(OUTSIDE), THIRD],
    ),
    (
        45,
        "ordered_at",
        pa.array([0, SECONDS * 10**9, SECONDS * 10**9 + 1000], NANO),
        [Q(OUTSIDE), THIRD, datetime(2024, 1, 3, 0, 0, 0, 1)],
    ),
]


@pytest.mark.parametrize(
    ("column", "values", "becomes", "trial"),
    [
        pytest.param(*rest, form, id=f"{number:02} {PAGE[number]}-{rest[1].type}-{form}")
        for number, *rest in TYPED
        for form in ("parquet", "duckdb")
    ],
    indirect=["trial"],
)
def test_typed_values(trial: Trial, column: str, values: pa.Array, becomes: list[Any]) -> None:
    table = arrow_of(ROWS[:3]).set_column(ORDERS.index(column), column, values)
    trial.form.write_arrow(trial, table)
    outcome = trial.attempt(trial.form.config(trial))
    assert [row[:3] for row in outcome.rejected] == [
        (n, None, f"{column}: {what.reason}")
        for n, what in enumerate(becomes, 1)
        if isinstance(what, Q)
    ]
    assert [row[column] for row in outcome.raw] == [x for x in becomes if not isinstance(x, Q)]


# Changes at the source.


def versions(trial: Trial, config: SourceConfig, folder: Path) -> dict[date | None, str]:
    return source_versions(config, CALENDAR, JANUARY, Warehouse(folder / "warehouse.duckdb"))


@case(58, "csv", "csv.gz", "csv.zst", "jsonl", "parquet")
def test_the_same_file_under_another_name(trial: Trial, tmp_path: Path) -> None:
    trial.form.write(trial, ROWS)
    suffix = trial.form.path.removeprefix("orders")
    config = trial.config(f"*{suffix}", **trial.form.words)
    before = versions(trial, config, tmp_path)
    path = trial.folder / "in" / trial.form.path
    other = path.with_name(f"another{suffix}")
    path.rename(other)
    try:
        assert versions(trial, config, tmp_path) == before
        outcome = trial.attempt(config)
    finally:
        other.unlink()
    assert outcome.state["source_loads"] == trial.good["source_loads"]
    at = [*outcome.raw[0]].index("source_file")
    assert {row[at] for row in outcome.state["raw_orders"]} == {other.name}


@case(59, *ALL)
def test_the_same_name_with_new_content(trial: Trial, tmp_path: Path) -> None:
    def write(rows: list[dict[str, Any]]) -> None:
        if trial.form.format != "duckdb":
            trial.form.write(trial, rows)
            return
        # A database that holds times as text cannot say which days changed.
        times = pa.array([datetime.fromisoformat(row["ordered_at"]) for row in rows])
        trial.form.write_arrow(trial, arrow_of(rows).set_column(1, "ordered_at", times))

    config = trial.form.config(trial)
    write(ROWS)
    before = versions(trial, config, tmp_path)
    write(changed(quantity="3"))
    after = versions(trial, config, tmp_path)
    assert [day for day in after if after[day] != before[day]] == [date(2024, 1, 4)]
    assert trial.attempt(config).raw[CHANGED]["quantity"] == 3


@case(60, *ALL)
def test_the_volume_is_off_by_more_than_ninety_percent(trial: Trial, tmp_path: Path) -> None:
    large = Source(tmp_path)
    config = trial.form.write(large, ROWS * 40)
    large.load(config)
    before = large.state()
    for rows in (ROWS * 3, ROWS * 401):
        trial.form.write(large, rows)
        with pytest.raises(SourceError, match=r"about 200 were expected.*analytics/any_volume"):
            large.load(config)
        assert large.state() == before
    trial.form.write(large, ROWS * 4)
    assert large.load(config).total.read == 20
    large.load(trial.form.write(large, ROWS * 201), any_volume=True)
    trial.form.write(large, ROWS)
    assert large.load(trial.form.config(large, max_volume_change=None)).total.read == 5


WRITES = """
import sys, duckdb
try:
    duckdb.connect(sys.argv[1]).execute("DELETE FROM orders")
except duckdb.IOException as error:
    print("refused" if "lock" in str(error) else error)
"""


@case(61, "duckdb", "query")
def test_a_database_that_changes_while_it_is_read(trial: Trial, tmp_path: Path) -> None:
    config = trial.form.write(trial, ROWS)
    with duckdb.connect() as connection:
        with reader_of(config).scan(connection, JANUARY, CALENDAR, tmp_path) as scan:
            command = [sys.executable, "-c", WRITES, config.path]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout.strip() == "refused"
            rows = connection.execute(f"SELECT count(*) FROM {scan.relation}").fetchall()
        assert rows == [(5,)]


@case(61, "csv", "csv.gz", "csv.zst", "jsonl", "parquet")
def test_a_file_that_changes_while_it_is_read(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = trial.form.write(trial, ROWS)
    reader = type(reader_of(config))
    read = reader.read

    def growing(self: Any, *arguments: Any) -> Any:
        scan = read(self, *arguments)
        trial.form.write(trial, [*ROWS, *ROWS])
        return scan

    monkeypatch.setattr(reader, "read", growing)
    trial.fails(trial.form.path)
    monkeypatch.undo()
    trial.loads(trial.form.write(trial, ROWS))
