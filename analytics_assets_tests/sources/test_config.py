"""The source configuration: what it accepts, and a sentence for each thing that it does not."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.partitions import Calendar
from analytics_assets.settings import load_settings
from analytics_assets.sources.config import (
    DEFAULT_SAMPLE_CALENDAR,
    SourceConfig,
    SourceConfigError,
    configured_sources,
    load_sources,
    sample_sources,
)
from analytics_assets.sources.contract import CONTRACTS

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
    assert sources.absent == ("user_sessions", "customers", "products")
    assert sources.sources == {
        "orders": SourceConfig("orders", str(tmp_path / "orders" / "{date}.csv"))
    }
    assert sources.sources["orders"].by_day


def test_every_word_is_read(tmp_path: Path) -> None:
    orders = {
        "path": "/data/orders*.csv",
        "columns": {"order_id": "InvoiceNo"},
        "delimiter": ";",
        "timestamp_formats": ["%d.%m.%Y"],
        "null_words": ["n/a", "-"],
        "status_map": {"paid": "completed"},
        "cancelled_order_pattern": "^C",
        "late_days": 3,
    }
    calendar = {"start": date(2024, 1, 1), "end": date(2024, 2, 1)}
    sources = load_sources(written(tmp_path, {"calendar": calendar, "orders": orders}))
    assert sources.calendar == Calendar(date(2024, 1, 1), date(2024, 2, 1))
    orders["timestamp_formats"], orders["null_words"] = ("%d.%m.%Y",), ("n/a", "-")
    assert sources.sources["orders"] == SourceConfig("orders", **orders)
    assert not sources.sources["orders"].by_day


def with_orders(**words: Any) -> dict[str, Any]:
    return {**MINIMAL, "orders": {**MINIMAL["orders"], **words}}


def with_calendar(**words: Any) -> dict[str, Any]:
    return {**MINIMAL, "calendar": words}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("orders: [", "sources.yaml is no readable YAML: "),
        ("", "sources.yaml: expected a mapping with calendar, orders, user_sessions"),
        ("- orders", "sources.yaml: expected a mapping with calendar, orders, user_sessions"),
        ({"calendar": MINIMAL["calendar"]}, "there is no `orders`, the one source that is requi"),
        ({**MINIMAL, "order": {}}, "'order' is no word of this place. Did you mean 'orders'?"),
        ({**MINIMAL, "xyz": {}}, "'xyz' is no word of this place. Known: calendar, orders,"),
        ({"orders": MINIMAL["orders"]}, "calendar: expected a mapping with start, end."),
        (with_calendar(), "calendar.start is None; write a date such as 2024-01-31."),
        (with_calendar(start="soon"), "calendar.start is 'soon'; write a date such as 2024-01-31."),
        (
            with_calendar(start=date(2024, 1, 1), end="2024"),
            "calendar.end is '2024'; write a date such as 2024-01-31, the first day after the data",
        ),
        (
            with_calendar(start=date(2024, 1, 1), end=date(2024, 1, 1)),
            "calendar: the calendar starts on 2024-01-01, not before its end 2024-01-01",
        ),
        (with_calendar(begin=date(2024, 1, 1)), "'begin' is no word of this place."),
        (with_calendar(strat=date(2024, 1, 1)), "Did you mean 'start'?"),
        ({**MINIMAL, "orders": "x.csv"}, "orders: expected a mapping with path, columns,"),
        ({**MINIMAL, "orders": {}}, "orders: there is no `path`; name a file, a glob or a {date}"),
        (with_orders(path=7), "orders: there is no `path`; name a file"),
        (with_orders(pth="x"), "'pth' is no word of this place. Did you mean 'path'?"),
        (with_orders(path="{date}/{date}.csv"), "orders.path: {date} stands in it more than once."),
        (with_orders(columns={"order": "x"}), "orders.columns: 'order' is no word of this place."),
        (with_orders(columns={"quantitiy": "x"}), "Did you mean 'quantity'?"),
        (with_orders(columns={"order_date": "x"}), "orders.columns: 'order_date' is no word"),
        (with_orders(columns={"source_row": "x"}), "orders.columns: 'source_row' is no word"),
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
        (with_orders(status_map=["paid"]), "orders.status_map: expected a mapping of the source"),
        (with_orders(status_map={True: "completed"}), "orders.status_map: True is no text; put q"),
        (with_orders(status_map={"paid": "complete"}), "Did you mean 'completed'?"),
        (
            {**MINIMAL, "customers": {"path": "{date}.csv"}},
            "customers.path: customers has no days; leave {date} out of the path.",
        ),
    ],
)
def test_what_is_wrong_gets_its_sentence(tmp_path: Path, document: Any, sentence: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        load_sources(written(tmp_path, document))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "sources.yaml"))


def test_another_encoding_is_no_readable_yaml(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_bytes("orders: {path: é}".encode("latin-1"))
    with pytest.raises(SourceConfigError, match="no readable YAML"):
        load_sources(tmp_path / "sources.yaml")


CHANGES = {
    "columns": {"order_id": "InvoiceNo"},
    "delimiter": ";",
    "timestamp_formats": ("%Y",),
    "null_words": ("NA",),
    "status_map": {"paid": "completed"},
    "cancelled_order_pattern": "^C",
    "late_days": 1,
}


@pytest.mark.parametrize("word", CHANGES)
def test_the_fingerprint_changes_with_the_mapping(word: str) -> None:
    config = SourceConfig("orders", "orders.csv")
    assert replace(config, **{word: CHANGES[word]}).fingerprint != config.fingerprint


def test_the_fingerprint_does_not_change_with_the_place() -> None:
    config = SourceConfig("orders", "orders.csv")
    assert replace(config, path="/elsewhere/orders.csv").fingerprint == config.fingerprint
    # Nor from one process to the next, as hash() would.
    assert config.fingerprint == "f42ffd3b0a785be9"


def test_the_words_of_the_configuration_are_all_in_the_fingerprint() -> None:
    assert CHANGES.keys() == SourceConfig.__dataclass_fields__.keys() - {"source", "path"}


def test_without_a_file_the_sample_is_the_source(tmp_path: Path) -> None:
    settings = load_settings({"ANALYTICS_HOME": str(tmp_path)})
    sources = configured_sources(settings)
    assert sources == sample_sources(tmp_path / "sample", DEFAULT_SAMPLE_CALENDAR)
    assert sources.absent == ()
    assert sources.sources.keys() == CONTRACTS.keys()
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
    assert "orders" in load_sources(path).sources


def test_contracts_leave_out_what_loading_adds() -> None:
    assert CONTRACTS["orders"].not_null == ["order_id", "ordered_at", "quantity", "unit_price"]
    for contract in CONTRACTS.values():
        assert set(contract.required) <= set(contract.columns)
        assert not {"loaded_at", "source_file", "source_row", "order_date", "session_date"} & set(
            contract.columns
        )
