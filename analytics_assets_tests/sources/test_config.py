"""The source configuration: what it accepts, and a sentence for each thing that it does not."""

import json
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.partitions import Calendar
from analytics_assets.settings import load_settings
from analytics_assets.sources.config import (
    Computed,
    Currency,
    SourceConfig,
    SourceConfigError,
)
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.configured import (
    DEFAULT_SAMPLE_CALENDAR,
    configured_sources,
    sample_sources,
)
from analytics_assets.sources.declared import SOURCES

MINIMAL: dict[str, Any] = {
    "calendar": {"start": date(2024, 1, 1)},
    "orders": {"path": "orders/{date}.csv"},
}


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def test_a_minimal_configuration_has_defaults(tmp_path: Path) -> None:
    sources = load_sources(written(tmp_path, MINIMAL))
    assert sources.calendar == Calendar(date(2024, 1, 1), None)
    assert sources.absent == tuple(name for name in SOURCES if name != "orders")
    assert sources.sources == {
        "orders": SourceConfig("orders", str(tmp_path / "orders" / "{date}.csv"))
    }
    assert sources.sources["orders"].by_day


FILE = {
    "path": "/data/orders*.txt",
    "format": "csv",
    "columns": {"order_id": "InvoiceNo"},
    "delimiter": ";",
    "encoding": "latin-1",
    "timestamp_formats": ["%d.%m.%Y"],
    "time_zone": "Europe/Berlin",
    "decimal": ",",
    "thousands": ".",
    "rounding": "half_up",
    "currency_signs": ["€", "EUR"],
    "parentheses_are_negative": True,
    "decimal_quantity": True,
    "null_words": ["n/a", "-"],
    "status_map": {"paid": "completed"},
    "cancelled_order_pattern": "^C",
    "late_days": 3,
    "marker": "{file}.done",
    "updates": "kept",
    "duplicates": "keep",
    "line_identity": ["product_id"],
    "order_level": ["status"],
    "order_amounts": ["shipping"],
    "order_snapshot": True,
    "customer_key": "email",
    "strip_plus_tags": True,
    "max_rejected_share": 0.5,
    "max_volume_change": None,
}
DATABASE = {
    "connection_env": "SHOP",
    "query": "SELECT * FROM orders",
    "change_detection": "updated_at",
}


def read(tmp_path: Path, **orders: Any) -> SourceConfig:
    document = {"calendar": MINIMAL["calendar"], "orders": orders}
    return load_sources(written(tmp_path, document)).sources["orders"]


def test_every_word_is_read(tmp_path: Path) -> None:
    read_so = {"timestamp_formats", "null_words", "line_identity", "order_level", "currency_signs"}
    read_so |= {"order_amounts"}
    words = {word: tuple(value) if word in read_so else value for word, value in FILE.items()}
    assert read(tmp_path, **FILE) == SourceConfig("orders", **words)
    assert not read(tmp_path, **FILE).by_day
    database = SourceConfig("orders", format="postgres", **DATABASE)
    assert read(tmp_path, **DATABASE) == database
    table = SourceConfig("orders", str(tmp_path / "shop.duckdb"), "duckdb", table="orders")
    assert read(tmp_path, path="shop.duckdb", table="orders") == table
    known = {word.name for word in fields(SourceConfig)} - {"source", "options", "currency"}
    known -= {"computed", "reporting_time_zone"}  # see cases/test_values.py
    # test_subscriptions has the attributes.
    assert known == {*FILE, *DATABASE, "table", "attributes"}


def test_versions_are_kept_where_days_have_files_and_else_overwritten(tmp_path: Path) -> None:
    assert not read(tmp_path, path="orders/{date}.csv").overwrites
    assert read(tmp_path, path="orders.csv").overwrites
    assert read(tmp_path, **DATABASE).overwrites
    assert not read(tmp_path, path="orders.csv", updates="kept").overwrites
    assert read(tmp_path, path="orders/{date}.csv", updates="overwritten").overwrites
    document = {**MINIMAL, "products": {"path": "products.csv", "updates": "kept"}}
    with pytest.raises(SourceConfigError, match="has no days"):
        load_sources(written(tmp_path, document))


def test_the_calendar_may_end(tmp_path: Path) -> None:
    calendar = {"start": date(2024, 1, 1), "end": date(2024, 2, 1)}
    sources = load_sources(written(tmp_path, {**MINIMAL, "calendar": calendar}))
    assert sources.calendar == Calendar(date(2024, 1, 1), date(2024, 2, 1))


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("orders.csv", "csv"),
        ("orders.CSV.gz", "csv"),
        ("orders.tsv.zst", "csv"),
        ("orders", "csv"),
        ("*.parquet", "parquet"),
        ("date={date}/*.pq", "parquet"),
        ("orders.jsonl.gz", "jsonl"),
        ("orders.ndjson", "jsonl"),
        ("s3://bucket/orders/*.parquet", "parquet"),
    ],
)
def test_the_format_is_that_of_the_suffix(tmp_path: Path, path: str, format: str) -> None:
    config = read(tmp_path, path=path)
    assert config.format == format
    assert config.path == (path if "://" in path else str(tmp_path / path))


def with_orders(**words: Any) -> dict[str, Any]:
    return {**MINIMAL, "orders": {**MINIMAL["orders"], **words}}


def with_calendar(**words: Any) -> dict[str, Any]:
    return {**MINIMAL, "calendar": words}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("orders: [", "sources.yaml is no readable YAML: "),
        ("", "sources.yaml is empty; it needs at least `calendar` and `orders`."),
        (
            "- orders",
            "sources.yaml, line 1: expected a mapping with calendar, reporting_time_zone, ord",
        ),
        ({"calendar": MINIMAL["calendar"]}, "there is no `orders`. Add it; only subscriptions"),
        ({**MINIMAL, "order": {}}, "'order' is not known here. Did you mean 'orders'?"),
        (
            {**MINIMAL, "xyz": {}},
            "'xyz' is not known here. Known: calendar, reporting_time_zone,",
        ),
        (
            {"orders": MINIMAL["orders"]},
            "there is no `calendar`. Add it, with the `start` of the data.",
        ),
        ({**MINIMAL, "calendar": None}, "calendar: expected a mapping with start, end."),
        (with_calendar(), "calendar: start is None; write a date such as 2024-01-31."),
        (with_calendar(start="soon"), "calendar.start: start is 'soon'; write a date such as 2024"),
        (
            with_calendar(start=date(2024, 1, 1), end="2024"),
            "calendar.end: end is '2024'; write a date such as 2024-01-31, the first day after the",
        ),
        (
            with_calendar(start=date(2024, 1, 1), end=date(2024, 1, 1)),
            "calendar: the calendar starts on 2024-01-01, not before its end 2024-01-01",
        ),
        (with_calendar(begin=date(2024, 1, 1)), "'begin' is not known here."),
        (with_calendar(strat=date(2024, 1, 1)), "Did you mean 'start'?"),
        ({**MINIMAL, "orders": "x.csv"}, "orders: expected a mapping with path, format, table,"),
        ({**MINIMAL, "orders": {}}, "orders: there is no `path`; name a file, a glob or a {date}"),
        (with_orders(path=7), "orders.path: 7 is no text; put quotes around it."),
        (with_orders(pth="x"), "'pth' is not known here. Did you mean 'path'?"),
        (with_orders(path="{date}/{date}.csv"), "orders.path: {date} appears more than once."),
        (with_orders(columns={"order": "x"}), "orders.columns: 'order' is not known here."),
        (with_orders(columns={"quantitiy": "x"}), "Did you mean 'quantity'?"),
        (with_orders(columns={"order_date": "x"}), "orders.columns: 'order_date' is not known"),
        (with_orders(columns={"source_row": "x"}), "orders.columns: 'source_row' is not known"),
        (with_orders(columns={"quantity": 5}), "orders.columns.quantity: 5 is no text; put quotes"),
        (with_orders(columns=["x"]), "orders.columns: expected a mapping with order_id,"),
        (with_orders(late_days=-1), "orders.late_days: -1 is no whole number from 0 up."),
        (with_orders(late_days="3"), "orders.late_days: '3' is no whole number from 0 up."),
        (with_orders(late_days=True), "orders.late_days: True is no whole number from 0 up."),
        (with_orders(null_words="NA"), "orders.null_words: write a list, such as ['...']."),
        (with_orders(null_words=[None]), "orders.null_words: None is no text; put quotes around"),
        (with_orders(null_words=[False]), "orders.null_words: False is no text; put quotes aroun"),
        (with_orders(timestamp_formats="%Y"), "orders.timestamp_formats: write a list, such as"),
        (with_orders(delimiter=";;"), "orders.delimiter: write one character."),
        (with_orders(delimiter=1), "orders.delimiter: 1 is no text; put quotes around it."),
        (with_orders(cancelled_order_pattern=1), "orders.cancelled_order_pattern: 1 is no text;"),
        (with_orders(status_map=["paid"]), "orders.status_map: expected a mapping."),
        (with_orders(status_map={True: "completed"}), "orders.status_map: True is no text; put q"),
        (with_orders(status_map={"paid": "complete"}), "Did you mean 'completed'?"),
        (
            {**MINIMAL, "customers": {"path": "{date}.csv"}},
            "customers.path: customers has no days; leave {date} out of the path.",
        ),
        (
            {**MINIMAL, "customers": {"path": "c.csv", "cancelled_order_pattern": "^C"}},
            "customers.cancelled_order_pattern: customers has no status; leave it out.",
        ),
        (with_orders(format="cvs"), "orders.format: 'cvs' is no format. Did you mean 'csv'?"),
        (with_orders(path="{date:%Y%m}.csv"), "orders.path: the form of {date:...} needs %Y, %m"),
        (with_orders(path="{date:%d.%m.%Y %H}"), "the form of {date:...} needs %Y, %m and %d, and"),
        (
            with_orders(path="s3://key:secret@bucket/x.csv"),
            "orders.path: credentials do not belong",
        ),
        (with_orders(encoding="klingon"), "orders.encoding: 'klingon' is no known encoding, such"),
        (with_orders(time_zone="Berlin"), "orders.time_zone: 'Berlin' is no known time zone, suc"),
        (with_orders(time_zone="../UTC"), "orders.time_zone: '../UTC' is no known time zone"),
        (with_orders(decimal=",,"), "orders.decimal: write one character."),
        (with_orders(thousands="."), "orders.thousands: is the decimal mark too."),
        (with_orders(rounding="up"), "orders.rounding: 'up' is no choice here."),
        (with_orders(duplicates="drop"), "orders.duplicates: 'drop' is no choice here. Known: col"),
        (with_orders(line_identity="product_id"), "orders.line_identity: write a list, such as"),
        (with_orders(line_identity=["product"]), "'product' is no column of the contract. Did you"),
        (with_orders(max_rejected_share=20), "orders.max_rejected_share: 20 is no share from 0 to"),
        (with_orders(max_rejected_share=None), "max_rejected_share: None is no share from 0 to 1."),
        (with_orders(max_volume_change="90%"), "max_volume_change: '90%' is no share from 0 to 1"),
        (with_orders(change_detection="auto"), "orders.change_detection: 'auto' is no choice here"),
        (with_orders(timestamp_formats=["dd.mm"]), "'dd.mm' is no strptime format, such as"),
        (with_orders(cancelled_order_pattern="("), "'(' is no regular expression: missing )"),
        (with_orders(table="orders"), "orders.table: means nothing for the format csv; leave it"),
        (with_orders(path="x.parquet", delimiter=";"), "means nothing for the format parquet; le"),
        (with_orders(path="x.jsonl", delimiter=";"), "orders.delimiter: means nothing for the fo"),
        (with_orders(path="x.duckdb"), "orders: a database needs either `table` or `query`."),
        (
            with_orders(path="x.duckdb", table="a", query="b"),
            "orders: a database needs either `table` or `query`.",
        ),
        (with_orders(format="postgres"), "orders: there is no `connection_env`; name the environ"),
        (with_orders(connection_env="SHOP", table="a"), "orders.path: means nothing for the form"),
        (
            "calendar: {start: 2024-01-01}\norders: {path: a, path: b}",
            "line 2: orders: 'path' appears twice.",
        ),
        ("calendar: {start: 2024-13-45}\norders: {path: a}", "line 1: calendar.start: "),
        ("calendar: {start: 2024-01-01}\norders: {path: !here a}", "line 2: orders.path: "),
        ("calendar: {start: 2024-01-01}\norders: {? [a] : b}", "line 2: orders: "),
        (with_orders(encoding="base64"), "orders.encoding: 'base64' is no known encoding, such"),
        (with_orders(delimiter='"'), "orders.delimiter: "),
        (with_orders(delimiter="\n"), "orders.delimiter: "),
        (with_orders(decimal="5"), "orders.decimal: "),
        (with_orders(thousands="e"), "orders.thousands: "),
        (with_orders(timestamp_formats=["%Q"]), "orders.timestamp_formats: '%Q' is no strptime"),
        (with_orders(cancelled_order_pattern="^C(?!X)"), "orders.cancelled_order_pattern: "),
    ],
)
def test_what_is_wrong_gets_its_sentence(tmp_path: Path, document: Any, sentence: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        load_sources(written(tmp_path, document))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "sources.yaml"))


def test_an_error_names_the_line_of_the_word_that_is_wrong(tmp_path: Path) -> None:
    text = """\
calendar:
  start: 2024-01-01
orders:
  path: orders.csv
  columns:
    order_id: InvoiceNo
    quantitiy: Quantity
"""
    with pytest.raises(
        SourceConfigError, match=r"sources\.yaml, line 7: orders\.columns: 'quantit"
    ):
        load_sources(written(tmp_path, text))
    with pytest.raises(SourceConfigError, match=r"line 4: orders\.path: 7 is no text"):
        load_sources(written(tmp_path, text.replace("orders.csv", "7")))
    with pytest.raises(SourceConfigError, match=r"line 2: calendar\.start: start is 7;"):
        load_sources(written(tmp_path, text.replace("2024-01-01", "7")))


def test_another_encoding_is_no_readable_yaml(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_bytes("orders: {path: é}".encode("latin-1"))
    with pytest.raises(SourceConfigError, match="no readable YAML"):
        load_sources(tmp_path / "sources.yaml")


CHANGES: dict[str, Any] = {
    "columns": {"order_id": "InvoiceNo"},
    "time_zone": "Europe/Berlin",
    "decimal": ",",
    "thousands": "'",
    "rounding": "half_up",
    "duplicates": "keep",
    "order_level": ("status",),
    "order_amounts": ("shipping",),
    "order_snapshot": True,
    "customer_key": "email",
    "strip_plus_tags": True,
    "line_identity": ("product_id",),
    "timestamp_formats": ("%Y",),
    "null_words": ("NA",),
    "status_map": {"paid": "completed"},
    "cancelled_order_pattern": "^C",
    "late_days": 1,
    "attributes": ("Seats",),
    "computed": {"quantity": Computed("1")},
    "currency_signs": ("$",),
    "parentheses_are_negative": True,
    "decimal_quantity": True,
    "reporting_time_zone": "Europe/Berlin",
}


@pytest.mark.parametrize("word", CHANGES)
def test_the_fingerprint_changes_with_the_mapping(word: str) -> None:
    config = SourceConfig("orders", "orders.csv")
    assert replace(config, **{word: CHANGES[word]}).fingerprint != config.fingerprint


STAYS: dict[str, Any] = {
    "currency": Currency("EUR"),
    "path": "/elsewhere/orders.csv",
    "format": "parquet",
    "table": "orders",
    "query": "SELECT 1",
    "connection_env": "SHOP",
    "delimiter": ";",
    "encoding": "latin-1",
    "updates": "kept",
    "change_detection": "updated_at",
    "max_rejected_share": 0.5,
    "marker": "_SUCCESS",
    "max_volume_change": None,
    "options": {"widths": {"order_id": 6}},
}


@pytest.mark.parametrize("word", STAYS)
def test_the_fingerprint_does_not_change_with_place_form_or_limits(word: str) -> None:
    config = SourceConfig("orders", "orders.csv")
    assert replace(config, **{word: STAYS[word]}).fingerprint == config.fingerprint


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    """As hash() would not be."""
    assert SourceConfig("orders", "orders.csv").fingerprint == "9424630d7c1d0049"


def test_every_word_of_the_configuration_is_in_the_fingerprint_or_meant_not_to_be() -> None:
    assert {*CHANGES, *STAYS} == SourceConfig.__dataclass_fields__.keys() - {"source"}


def test_without_a_file_the_sample_is_the_source(tmp_path: Path) -> None:
    settings = load_settings({"ANALYTICS_HOME": str(tmp_path)})
    sources = configured_sources(settings)
    assert sources == sample_sources(tmp_path / "sample", DEFAULT_SAMPLE_CALENDAR)
    assert sources.absent == tuple(name for name, one in SOURCES.items() if not one.sample)
    orders = sources.sources["orders"]
    assert orders.path == str(tmp_path / "sample" / "orders" / "orders_{date}.csv")
    assert (orders.by_day, orders.late_days) == (True, 7)
    assert not sources.sources["customers"].by_day


def test_the_sample_covers_the_days_that_its_manifest_names(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    manifest = {"start": "2024-03-01", "end": "2024-05-01"}
    (tmp_path / "sample" / "manifest.json").write_text(json.dumps(manifest))
    sources = configured_sources(load_settings({"ANALYTICS_HOME": str(tmp_path)}))
    assert sources.calendar == Calendar(date(2024, 3, 1), date(2024, 5, 1))


def test_a_configured_file_is_the_source(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    environment = {"ANALYTICS_HOME": str(tmp_path), "ANALYTICS_SOURCES": str(path)}
    assert configured_sources(load_settings(environment)) == load_sources(path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "examples").glob("*.yaml")))
def test_the_examples_are_valid(path: Path) -> None:
    sources = load_sources(path)
    assert sources.has_days or list(sources.sources) == ["subscriptions"]


def test_contracts_leave_out_what_loading_adds() -> None:
    assert SOURCES["orders"].contract.not_null == [
        "order_id",
        "ordered_at",
        "quantity",
        "unit_price",
    ]
    for contract in (source.contract for source in SOURCES.values()):
        assert set(contract.required) <= set(contract.columns)
        assert not {"loaded_at", "source_file", "source_row", "order_date", "session_date"} & set(
            contract.columns
        )
