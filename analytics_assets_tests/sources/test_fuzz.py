"""Text mutated at random: never an error but SourceError, and never a row unaccounted for.

The oracle is a parser of its own, of regular expressions, that cuts a text into records without a
character left over. What is loaded must be these records, each accepted or kept whole.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.sources.conftest import ORDERS, Source
from analytics_assets_tests.sources.forms import FORMS

BLANKS = " \t\v\f\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"
ROWS = [
    {
        "order_id": f"O{n}",
        "ordered_at": f"2024-01-{n + 1:02} 10:00:00",
        "customer_id": ("C1", 'C"1"', "C,1", "C\n1", "Zoë 漢", "", "C\r\n\r\n1")[n % 7],
        "product_id": f"P{n}",
        "quantity": ("2", "x", "-1")[n % 3],
        "unit_price": ("3.5", "1", "2.25001")[n % 3],
    }
    for n in range(12)
]
# Without line breaks in values DuckDB reads the file as it is, and no other parser looks at it.
PLAIN_ROWS = [row for row in ROWS if "\n" not in row["customer_id"]]
PIECES = [
    *[b'"'] * 3, *[b","] * 3, b'""', b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xef\xbb\xbf",
    b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\x1f", b"\x1a", b"#", b"'", b"\\", b" ", b"\t", b";",
    b' "', b'" ', b"7", "🙂".encode(),
]  # fmt: skip
JSON_PIECES = [
    *PIECES, b"\xed\xa0\x80", b"{", b"}", b"[", b":", b"\\u0000", b"\\\\u0000", b"\\ud800",
    b"NaN", b"1e999", b"null", b'"quantity":',
]  # fmt: skip
FIELD_START, LINE_START = re.compile(rb"[,:\r\n]"), re.compile(rb"[\r\n]")


@dataclass(frozen=True)
class Mutation:
    """One change of a text, at a place between 0 and 1."""

    kind: str
    at: float
    length: int
    piece: bytes

    def __call__(self, text: bytes) -> bytes:
        at = int(self.at * len(text))
        if self.kind == "begin":  # of a field, where a quote means most
            mark = FIELD_START.search(text, at)
            at = mark.end() if mark else at
        if self.kind == "end":  # of a line, where a delimiter means most
            mark = LINE_START.search(text, at)
            at = mark.start() if mark else at
        end = min(len(text), at + self.length)
        if self.kind in ("insert", "begin", "end"):
            return text[:at] + self.piece + text[at:]
        if self.kind == "replace":
            return text[:at] + self.piece + text[end:]
        if self.kind == "delete":
            return text[:at] + text[end:]
        if self.kind == "double":
            return text[:end] + text[at:]
        return text[:at]


def mutations(pieces: list[bytes]) -> st.SearchStrategy[Mutation]:
    return st.builds(
        Mutation,
        st.sampled_from(["insert", "begin", "begin", "end", "replace", "delete", "double", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 40),
        st.sampled_from(pieces),
    )


MUTATIONS = {"csv": mutations(PIECES), "jsonl": mutations(JSON_PIECES)}


@st.composite
def mutants(draw: st.DrawFn, format: str, after_header: bool | None = None) -> bytes:
    """A good text with other line ends perhaps, and a few mutations."""
    if after_header is None:
        after_header = draw(st.sampled_from([True, True, True, False]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    rows = draw(st.sampled_from([ROWS, PLAIN_ROWS, PLAIN_ROWS]))
    header, _, body = FORMS[format].text(rows).partition("\n")
    if format == "jsonl":
        header, body = "", f"{header}\n{body}"
    text = body.replace("\n", end).encode()
    start = (header + end).encode() if header else b""
    if not after_header:
        text, start = start + text, b""
    for mutation in draw(st.lists(MUTATIONS[format], min_size=1, max_size=5)):
        text = mutation(text)
    return start + text


@dataclass(frozen=True)
class Record:
    """What the oracle says of a row: its fields, or None and its text."""

    line: int
    text: str
    fields: dict[str, str] | None


LINE_END = re.compile(r"\r\n|\n|\r")
FIELD = r'(?: *"(?:[^"]|"")*"|(?! *")[^,\r\n]*)'  # blanks before a quote are none of the field
RECORD = re.compile(rf"{FIELD}(?:,{FIELD})*(?=\r\n|\n|\r|\Z)")


def records(text: str) -> Iterator[Record]:
    """The records of a CSV text, its header first."""
    at = line = 0
    while at < len(text):
        whole = RECORD.match(text, at)
        end = LINE_END.search(text, at)
        stop = whole.end() if whole else end.start() if end else len(text)
        piece = text[at:stop]
        fields: dict[str, str] | None = None
        if whole and "\0" not in piece:
            values = split(piece)
            if len(values) == len(ORDERS):
                fields = dict(zip(ORDERS, values, strict=True))
        if piece:
            yield Record(line + 1, piece, fields)
        after = LINE_END.match(text, stop)
        at = after.end() if after else stop
        line = len(LINE_END.findall(text[:at]))


def split(piece: str) -> list[str]:
    """Fields of a record that matches."""
    values, at = [], 0
    while True:
        match = re.match(FIELD, piece[at:])
        assert match
        field = match[0].lstrip(" ")
        values.append(field[1:-1].replace('""', '"') if field.startswith('"') else match[0])
        at += match.end() + 1
        if at > len(piece):
            return values


def lines(text: str) -> Iterator[Record]:
    """The lines of a JSON lines text that are not blank."""
    for number, line in enumerate(LINE_END.split(text), 1):
        piece = line.strip()
        if not piece:
            continue
        fields = None
        try:
            held = json.loads(piece, object_pairs_hook=_pairs)
            json.dumps(held, ensure_ascii=False).encode()  # half a character is no text
        except (ValueError, RecursionError):
            held = None
        if isinstance(held, dict) and "\0" not in piece and not holds_nul(held):
            fields = held
        yield Record(number, piece, fields)


def holds_nul(held: Any) -> bool:
    """Whether a text within has a NUL, however it is written."""
    if isinstance(held, dict):
        held = [*held, *held.values()]
    if isinstance(held, list):
        return any(map(holds_nul, held))
    return isinstance(held, str) and "\0" in held


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a member appears twice")
    return held


def decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def may_fail(content: bytes, format: str) -> bool:
    """Whether the text is wrong as a whole, so that no row of it can be told from another."""
    text = decoded(content)
    if text is None:
        return True
    if format == "jsonl":
        held = [record.fields for record in lines(text)]
        if "\0" in text and all("\0" in record.text for record in lines(text)):
            return True  # UTF-16 perhaps
        objects = [fields for fields in held if fields is not None]
        # Where no line is an object each is rejected by itself.
        named = {name.strip().casefold() for fields in objects for name in fields}
        return not held or (bool(objects) and not {*ORDERS} <= named)
    return LINE_END.split(text)[0] != ",".join(ORDERS)


def check(source: Source, files: dict[str, bytes], config: SourceConfig) -> None:
    """What was loaded of each file is what the oracle reads in it."""
    total = source.load(config).total
    raw, rejected = defaultdict(dict), defaultdict(dict)
    for file, row, *values in source.rows(
        f"SELECT source_file, source_row, {', '.join(ORDERS)} FROM raw.raw_orders"
    ):
        assert row not in raw[file]
        raw[file][row] = dict(zip(ORDERS, values, strict=True))
    for file, row, line, kept in source.rows(
        "SELECT source_file, source_row, source_line, row FROM raw.rejected_rows"
    ):
        assert row not in rejected[file]
        rejected[file][row] = (line, json.loads(kept))
    assert total.read == total.accepted + total.rejected
    assert total.accepted == sum(map(len, raw.values()))
    assert total.rejected == sum(map(len, rejected.values()))
    for file, content in files.items():
        text = decoded(content)
        assert text is not None
        csv = config.format == "csv"
        expected = list(records(text))[1:] if csv else list(lines(text))
        assert sorted({*raw[file], *rejected[file]}) == list(range(1, len(expected) + 1))
        assert not {*raw[file]} & {*rejected[file]}
        for row, record in enumerate(expected, 1):
            if row in raw[file]:
                assert record.fields is not None, record
                assert_typed(raw[file][row], record.fields)
                continue
            line, kept = rejected[file][row]
            assert line == record.line
            if record.fields is None:
                assert kept == {"_text": record.text}
            elif csv:
                # Of a field without quotes a parser may leave the blanks before it.
                held = {k: (v or "").lstrip(" ") for k, v in kept.items()}
                assert held == {k: v.lstrip(" ") for k, v in record.fields.items()}
            else:
                assert repr(kept) == repr(record.fields)


def assert_typed(values: dict[str, Any], fields: dict[str, Any]) -> None:
    """The values of an accepted row are those of its fields."""

    def texts(name: str) -> list[str]:
        """An object may spell a name in two ways, with a blank behind it perhaps."""
        held = [v for n, v in fields.items() if n.strip().casefold() == name and v is not None]
        return [
            value.strip(BLANKS)
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            for value in held
        ]

    def is_read(name: str, read: Callable[[str], Any]) -> bool:
        for text in texts(name):
            with suppress(ValueError, ArithmeticError):
                if read(text) == values[name]:
                    return True
        return False

    assert is_read("quantity", int)
    assert is_read("unit_price", Decimal)
    assert is_read("ordered_at", lambda text: datetime.fromisoformat(text).replace(tzinfo=None))
    for name in ("order_id", "customer_id", "product_id"):
        assert values[name] in ([text or None for text in texts(name)] or [None])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("fuzz"))


def run(source: Source, files: dict[str, bytes], format: str) -> None:
    for old in (source.folder / "in").glob("*"):
        old.unlink()
    for name, content in files.items():
        source.write(name, content)
    words = {"format": format, "max_rejected_share": 1, "max_volume_change": None}
    config = source.config(f"*.{format}", **words)
    if any(may_fail(content, format) for content in files.values()):
        before = source.state()
        try:
            result = source.load(config)
        except SourceError as error:
            assert len(str(error)) < 1000
            assert source.state() == before
            return
        assert all(decoded(content) is not None for content in files.values())
        counted = source.rows(
            "SELECT (SELECT count(*) FROM raw.raw_orders), (SELECT count(*) FROM raw.rejected_rows)"
        )
        assert counted == [(result.total.accepted, result.total.rejected)]
        return
    check(source, files, config)


@pytest.mark.parametrize("format", ["csv"])
def test_the_good_text_is_what_the_oracle_reads(source: Source, format: str) -> None:
    content = FORMS[format].text(ROWS).encode()
    assert not may_fail(content, format)
    run(source, {f"a.{format}": content}, format)
    counted = source.rows(
        "SELECT (SELECT count(*) FROM raw.raw_orders), (SELECT count(*) FROM raw.rejected_rows)"
    )
    assert counted == [(4, 8)]


fuzzed = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def run_together(source: Source, contents: list[bytes], format: str) -> None:
    """The files in one load, but each that may fail in one of its own."""
    alone = [content for content in contents if may_fail(content, format)]
    others = [content for content in contents if content not in alone]
    for content in alone:
        run(source, {f"a.{format}": content}, format)
    if others:
        run(source, {f"{n}.{format}": content for n, content in enumerate(others)}, format)


def several(format: str) -> st.SearchStrategy[list[bytes]]:
    return st.lists(mutants(format), min_size=1, max_size=9)


@settings(fuzzed, max_examples=30)
@given(contents=several("csv"))
@example(contents=[b"", b"\xef\xbb\xbf", (",".join(ORDERS) + '\n"').encode()])
def test_mutated_csv(source: Source, contents: list[bytes]) -> None:
    run_together(source, contents, "csv")


JSON_LINE = FORMS["jsonl"].text(ROWS[:1])


@settings(fuzzed, max_examples=12)
@given(contents=several("jsonl"))
@example(contents=[(JSON_LINE + JSON_LINE.replace("quantity", "q\\ud800")).encode()])
@example(contents=[(JSON_LINE + JSON_LINE.replace("P0", "\\ud800")).encode()])
@example(contents=[(JSON_LINE + JSON_LINE.replace("}", ', "": 1}')).encode()])
@example(contents=[JSON_LINE.replace("product_id", "product\\u0000_id").encode() + b"{}{"])
@example(contents=[(JSON_LINE + f'{{"a": "{"x" * 39}ë{"y" * 100}"b"}}\n').encode()])
def test_mutated_json_lines(source: Source, contents: list[bytes]) -> None:
    run_together(source, contents, "jsonl")


TOGETHER = 75  # files in a load, of which most of the cost is its statements


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_thousands_of_mutated_files(source: Source, format: str) -> None:
    """Many at once, so that malformed files lie among good ones."""
    drawn: list[bytes] = []

    # Shrinking a list of files takes minutes; each of them can be tried alone.
    @settings(fuzzed, max_examples=80 if format == "csv" else 40, phases=[Phase.generate])
    @given(contents=st.lists(mutants(format, after_header=True), min_size=20, max_size=30))
    def draw(contents: list[bytes]) -> None:
        drawn.extend(content for content in contents if not may_fail(content, format))

    draw()
    assert len(drawn) > (1000 if format == "csv" else 500)
    for start in range(0, len(drawn), TOGETHER):
        contents = drawn[start : start + TOGETHER]
        run(source, {f"{n:02}.{format}": content for n, content in enumerate(contents)}, format)
