"""Change detection: days that are new, changed at the source, or mapped otherwise."""

import os
from datetime import date, datetime, timedelta

import pytest

from analytics_assets.partitions import Window
from analytics_assets.sources.changes import changed_days, source_versions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets_tests.sources.conftest import CALENDAR, GOOD, JANUARY, Source, csv_of
from analytics_assets_tests.sources.forms import FORMS

KEYS = ["2024-01-02", "2024-01-03", "2024-01-04"]
DAYS = [date.fromisoformat(key) for key in KEYS]
SPAN = Window.of_days(KEYS[0], KEYS[-1])


@pytest.fixture
def loaded(source: Source) -> SourceConfig:
    """Orders of three days and customers, all loaded into the file of a warehouse."""
    assert source.warehouse
    for key in KEYS:
        source.write(f"orders_{key}.csv", csv_of({"ordered_at": key}))
    source.write("customers.csv", "customer_id\nC1\n")
    config = source.config("orders_{date}.csv")
    source.load(config, SPAN)
    source.load(source.config("customers.csv", "customers"), None)
    return config


def changed(source: Source, orders: SourceConfig, keys: list[str] = KEYS) -> list[date]:
    customers = source.config("customers.csv", "customers")
    sources = SourcesConfig(CALENDAR, {"orders": orders, "customers": customers})
    found = changed_days(sources, source.warehouse, keys)
    assert all(found.values())
    return sorted(found)


def test_what_was_loaded_has_not_changed(source: Source, loaded: SourceConfig) -> None:
    assert changed(source, loaded) == []


def test_without_a_warehouse_everything_is_new(source: Source, loaded: SourceConfig) -> None:
    source.warehouse.path.unlink()
    assert changed(source, loaded) == DAYS


def test_a_day_never_loaded_is_new(source: Source, loaded: SourceConfig) -> None:
    source.write("orders_2024-01-05.csv", csv_of({"ordered_at": "2024-01-05"}))
    assert changed(source, loaded, [*KEYS, "2024-01-05"]) == [date(2024, 1, 5)]


def test_new_content_under_the_same_name_is_a_change_of_its_day(
    source: Source, loaded: SourceConfig
) -> None:
    path = source.folder / "in" / "orders_2024-01-03.csv"
    before = path.stat()
    path.write_text(path.read_text().replace("O1", "O2"))
    assert path.stat().st_size == before.st_size
    assert changed(source, loaded) == [DAYS[1]]
    source.load(loaded, Window(DAYS[1], DAYS[2]))
    assert changed(source, loaded) == []


def test_a_file_touched_is_not_changed(source: Source, loaded: SourceConfig) -> None:
    os.utime(source.folder / "in" / "orders_2024-01-03.csv", (1, 1))
    assert changed(source, loaded) == []


def test_a_file_removed_is_a_change(source: Source, loaded: SourceConfig) -> None:
    (source.folder / "in" / "orders_2024-01-03.csv").unlink()
    assert changed(source, loaded) == [DAYS[1]]


def test_a_late_row_changes_the_day_that_it_belongs_to(source: Source) -> None:
    assert source.warehouse
    source.write("customers.csv", "customer_id\n")
    source.load(source.config("customers.csv", "customers"), None)
    config = source.config("orders_{date}.csv", late_days=1)
    source.write("orders_2024-01-02.csv", csv_of({"ordered_at": "2024-01-02"}))
    source.write("orders_2024-01-03.csv", csv_of({"ordered_at": "2024-01-03"}))
    source.load(config, SPAN)
    source.write("orders_2024-01-04.csv", csv_of({"ordered_at": "2024-01-04"}))
    assert changed(source, config) == DAYS[2:]
    source.load(config, SPAN)
    source.write("orders_2024-01-04.csv", csv_of(*({"ordered_at": key} for key in KEYS[1:])))
    assert changed(source, config) == DAYS[1:2]


def test_the_same_rows_in_other_files_are_no_change(source: Source, loaded: SourceConfig) -> None:
    (source.folder / "in" / "orders_2024-01-03.csv").rename(source.folder / "in" / "orders_x.csv")
    moved = source.config("orders_*.csv")
    assert changed(source, moved) == []
    rows = [{"ordered_at": key} for key in reversed(KEYS)]
    for path in (source.folder / "in").glob("orders_*.csv"):
        path.unlink()
    source.write("orders_all.csv", csv_of(*rows))
    assert changed(source, moved) == []
    source.write("orders_all.csv", csv_of(*rows, rows[0]))
    assert changed(source, moved) == DAYS[2:]


def test_another_mapping_changes_every_day(source: Source, loaded: SourceConfig) -> None:
    mapped = source.config("orders_{date}.csv", null_words=("NA",))
    assert changed(source, mapped) == DAYS


def test_another_place_changes_nothing(source: Source, loaded: SourceConfig) -> None:
    (source.folder / "in").rename(source.folder / "moved")
    source.folder.joinpath("in").symlink_to(source.folder / "moved")
    moved = SourceConfig("orders", str(source.folder / "moved" / "orders_{date}.csv"))
    assert changed(source, moved) == []


def test_a_change_of_a_source_without_days_asks_for_the_last_day(
    source: Source, loaded: SourceConfig
) -> None:
    source.write("customers.csv", "customer_id\nC2\n")
    assert changed(source, loaded) == [DAYS[-1]]


def test_a_day_gets_another_word_for_each_state(source: Source, loaded: SourceConfig) -> None:
    sources = SourcesConfig(CALENDAR, {"orders": loaded})

    def word(text: str) -> str:
        source.write(
            "orders_2024-01-03.csv", csv_of({"ordered_at": "2024-01-03", "order_id": text})
        )
        return changed_days(sources, source.warehouse, KEYS)[DAYS[1]]

    assert word("A") != word("B")
    assert word("A") == word("A")


def test_no_keys_ask_for_nothing(source: Source, loaded: SourceConfig) -> None:
    assert changed(source, loaded, []) == []


def test_days_of_a_database_whose_times_are_text_are_told_apart(source: Source) -> None:
    form = FORMS["duckdb"]
    rows = [{**GOOD, "order_id": f"O{n}", "ordered_at": f"2024-01-0{n} 10:00"} for n in (2, 3, 4)]
    config = form.write(source, rows)
    before = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    source.load(config)
    sources = SourcesConfig(CALENDAR, {"orders": config})
    keys = [str(day) for day in JANUARY]
    assert changed_days(sources, source.warehouse, keys) == {}
    form.write(source, [rows[0], {**rows[1], "quantity": "7"}, rows[2]])
    after = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    assert [day for day in after if after[day] != before[day]] == [date(2024, 1, 3)]
    assert list(changed_days(sources, source.warehouse, keys)) == [date(2024, 1, 3)]


def test_the_ledger_says_since_when_a_day_has_its_content(
    source: Source, loaded: SourceConfig
) -> None:
    def changed_at() -> list[bool]:
        """Whether the content of each day is that of its last load."""
        query = (
            "SELECT changed_at = loaded_at FROM raw.source_loads WHERE source = 'orders' "
            "ORDER BY window_date"
        )
        return [same for (same,) in source.rows(query)]

    assert changed_at() == [True, True, True]
    source.write("orders_2024-01-03.csv", csv_of({"ordered_at": KEYS[1], "order_id": "O9"}))
    later = datetime(2024, 2, 2, 12)  # noqa: DTZ001 (naive UTC)
    source.load(loaded, SPAN, loaded_at=later)
    assert changed_at() == [False, True, False]
    # A day that is gone has no line: the next one says that something changed.
    (source.folder / "in" / "orders_2024-01-02.csv").unlink()
    source.load(loaded, SPAN, loaded_at=later + timedelta(days=1))
    assert changed_at() == [True, False]
