"""Subscribers as a source: yes and no, further columns as attributes, and no need of orders."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.readers.base import SourceError

from .conftest import CALENDAR, Source

HEADER = "customer_id,churned,tenure_months,monthly_charges,total_charges,Internet,Seats\n"
ORDERS = {"path": "orders.csv"}


def loaded(source: Source, text: str, **words: Any) -> list[tuple[Any, ...]]:
    config = source.config("subscriptions.csv", "subscriptions", **words)
    Path(config.path).parent.mkdir(exist_ok=True)
    Path(config.path).write_text(text)
    source.load(config, None)
    return source.rows(
        "SELECT customer_id, churned, total_charges, attributes FROM raw.raw_subscriptions "
        "ORDER BY source_row"
    )


def configured(tmp_path: Path, document: Any) -> SourcesConfig:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_sources(path)


@pytest.mark.parametrize(
    ("word", "value"),
    [("Yes", True), ("no", False), ("TRUE", True), ("f", False), (" 1 ", True), ("0", False)],
)
def test_words_for_yes_and_no(source: Source, word: str, value: bool) -> None:
    assert loaded(source, f"{HEADER}A,{word},1,2,2,,\n") == [("A", value, Decimal(2), None)]


@pytest.mark.parametrize(("word", "reason"), [("", "missing"), ("maybe", "none of true, t, yes")])
def test_a_row_that_does_not_say_whether_it_churned_is_rejected(
    source: Source, word: str, reason: str
) -> None:
    assert loaded(source, f"{HEADER}A,{word},1,2,2,,\n") == []
    ((reasons,),) = source.rows("SELECT reasons FROM raw.rejected_rows")
    assert reasons.startswith(f"churned: {reason}")


def test_attributes_are_kept_as_texts_trimmed_and_without_the_words_for_nothing(
    source: Source,
) -> None:
    rows = loaded(
        source,
        f'{HEADER}A,no,0,2, ,"Fibre ""optic""", 3\nB,yes,1,2,2,n/a,\n',
        attributes=("internet", "Seats"),
        null_words=("n/a",),
    )
    assert [row[2] for row in rows] == [None, Decimal(2)]
    assert [json.loads(row[3]) for row in rows] == [
        {"internet": 'Fibre "optic"', "Seats": "3"},
        {"internet": None, "Seats": None},
    ]


def test_an_attribute_that_is_not_there_stops_the_load(source: Source) -> None:
    with pytest.raises(SourceError, match=r"no column 'Plan'.* Correct `attributes`"):
        loaded(source, f"{HEADER}A,no,0,2,,,\n", attributes=("Plan",))


def test_columns_of_the_contract_take_no_part_in_attributes(tmp_path: Path) -> None:
    for attributes in (["Contract"], ["Seats", "seats"]):
        document = {"subscriptions": {"path": "s.csv", "attributes": attributes}}
        with pytest.raises(SourceConfigError, match=r"line \d+.*appears twice, or is a column"):
            configured(tmp_path, document)
    with pytest.raises(SourceConfigError, match="has a quote in it"):
        configured(tmp_path, {"subscriptions": {"path": "s.csv", "attributes": ['a"b']}})
    with pytest.raises(SourceConfigError, match="attributes: means nothing for orders"):
        configured(
            tmp_path,
            {"calendar": {"start": date(2024, 1, 1)}, "orders": {**ORDERS, "attributes": ["x"]}},
        )
    with pytest.raises(SourceConfigError, match="'attributes' is not known here"):
        configured(tmp_path, {"subscriptions": {"path": "s.csv", "columns": {"attributes": "x"}}})


def test_subscriptions_alone_need_neither_orders_nor_a_calendar(tmp_path: Path) -> None:
    sources = configured(tmp_path, {"subscriptions": {"path": "s.csv"}})
    assert not sources.has_days
    assert list(sources.sources) == ["subscriptions"]


@pytest.mark.parametrize("others", [{}, {"customers": {"path": "c.csv"}}])
def test_nothing_else_can_stand_alone(tmp_path: Path, others: dict[str, Any]) -> None:
    document = {"calendar": {"start": date(2024, 1, 1)}, **others}
    if others:
        document["subscriptions"] = {"path": "s.csv"}
    with pytest.raises(SourceConfigError, match="there is no `orders`"):
        configured(tmp_path, document)


def test_a_change_of_subscribers_asks_for_no_day(source: Source) -> None:
    assert source.warehouse
    loaded(source, f"{HEADER}A,no,1,2,2,,\n")
    config = source.config("subscriptions.csv", "subscriptions")
    sources = SourcesConfig(CALENDAR, {"subscriptions": config})
    assert changed_whole(sources, "subscriptions", source.warehouse) is None
    Path(config.path).write_text(f"{HEADER}A,yes,1,2,2,,\n")
    assert changed_whole(sources, "subscriptions", source.warehouse)
    assert changed_days(sources, source.warehouse, ["2024-01-02"]) == {}
