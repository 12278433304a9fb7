"""Deliveries with a marker: a file is read when it is there; what was loaded stays until then."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from analytics_assets.partitions import Window
from analytics_assets.sources.arrivals import waiting_files
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets_tests.sources.conftest import CALENDAR, Source, csv_of

KEYS = ["2024-01-02", "2024-01-03", "2024-01-04"]
DAYS = [date.fromisoformat(key) for key in KEYS]
SPAN = Window.of_days(KEYS[0], KEYS[-1])
MARKERS = {"_SUCCESS": "_SUCCESS", "{file}.done": "orders.csv.done"}


@pytest.fixture(params=MARKERS)
def delivered(source: Source, request: pytest.FixtureRequest) -> SourceConfig:
    """Two of three days, whole, loaded into the file of a warehouse; the third has no marker."""
    assert source.warehouse
    config = source.config("{date}/orders.csv", marker=request.param, late_days=1)
    for number, day in enumerate(DAYS):
        deliver(source, config, day, 1, whole=number < 2)
    assert source.load(config, SPAN).total.accepted == 2
    return config


def deliver(source: Source, config: SourceConfig, day: date, quantity: int, *, whole: bool) -> None:
    """Write the file of a day again, and its marker after it."""
    assert config.marker
    row = {"order_id": f"O{day}", "ordered_at": str(day), "quantity": str(quantity)}
    file = source.write(f"{day}/orders.csv", csv_of(row))
    marker = file.with_name(MARKERS[config.marker])
    marker.unlink(missing_ok=True)
    if whole:
        marker.touch()


def changed(source: Source, config: SourceConfig) -> list[date]:
    sources = SourcesConfig(CALENDAR, {"orders": config})
    return sorted(changed_days(sources, source.warehouse, KEYS))


def test_a_file_without_its_marker_does_not_exist_yet(
    source: Source, delivered: SourceConfig
) -> None:
    assert changed(source, delivered) == []
    sources = SourcesConfig(CALENDAR, {"orders": delivered})
    (line,) = waiting_files(sources)
    assert line == f"orders: 2024-01-04/orders.csv waits for {delivered.marker}"
    deliver(source, delivered, DAYS[2], 1, whole=True)
    assert changed(source, delivered) == [DAYS[2]]
    assert waiting_files(sources) == []


@pytest.mark.parametrize("older", [False, True], ids=["missing", "older"])
def test_a_file_that_is_delivered_again_stays_as_it_was_loaded(
    source: Source, delivered: SourceConfig, older: bool
) -> None:
    deliver(source, delivered, DAYS[1], 5, whole=older)
    if older:
        assert delivered.marker
        marker = Path(source.folder / "in" / KEYS[1] / MARKERS[delivered.marker])
        os.utime(marker, (0, 0))
    assert changed(source, delivered) == []
    with pytest.raises(SourceError, match="is being delivered again: its marker"):
        source.load(delivered, SPAN)
    assert source.rows("SELECT sum(quantity) FROM raw.raw_orders") == [(2,)]
    deliver(source, delivered, DAYS[1], 5, whole=True)
    assert changed(source, delivered) == [DAYS[1]]
    source.load(delivered, SPAN)
    assert source.rows("SELECT sum(quantity) FROM raw.raw_orders") == [(6,)]


def test_other_days_are_loaded_meanwhile(source: Source, delivered: SourceConfig) -> None:
    deliver(source, delivered, DAYS[2], 1, whole=True)
    source.load(delivered, SPAN)
    deliver(source, delivered, DAYS[2], 3, whole=False)
    deliver(source, delivered, DAYS[0], 3, whole=True)
    # The last file can have late rows of the day before it, which waits with it.
    deliver(source, delivered, DAYS[1], 3, whole=True)
    assert changed(source, delivered) == [DAYS[0]]


def test_one_file_with_its_marker(source: Source) -> None:
    assert source.warehouse
    config = source.config("customers.csv", "customers", marker="{file}.done")
    sources = SourcesConfig(CALENDAR, {"customers": config})
    source.write("customers.csv", "customer_id\nC1\n")
    with pytest.raises(SourceError, match="has its marker"):
        changed_whole(sources, "customers", source.warehouse)
    with pytest.raises(SourceError, match="has its marker"):
        source.load(config, None)
    source.write("customers.csv.done", "")
    assert changed_whole(sources, "customers", source.warehouse)
    source.load(config, None)
    (source.folder / "in" / "customers.csv.done").unlink()
    source.write("customers.csv", "customer_id\nC1\nC")
    assert changed_whole(sources, "customers", source.warehouse) is None
    source.write("customers.csv", "customer_id\nC1\nC2\n")
    source.write("customers.csv.done", "")
    assert changed_whole(sources, "customers", source.warehouse)


def test_a_glob_that_matches_the_marker_does_not_read_it(source: Source) -> None:
    source.write("orders_1.csv", csv_of({"order_id": "O1"}))
    source.write("orders_1.csv.done", "")
    config = source.config("orders_*", marker="{file}.done")
    assert source.load(config).total.accepted == 1


@pytest.fixture
def store() -> Iterator[str]:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/orders/2024-01-02/part-0.csv", csv_of({}).encode())
    yield "memory://orders/{date}/*.csv"
    system.rm("/orders", recursive=True)


def test_in_an_object_store(store: str) -> None:
    import fsspec

    reader = reader_of(SourceConfig("orders", store, marker="_SUCCESS"))
    assert [file.path for file in reader.waiting()] == ["/orders/2024-01-02/part-0.csv"]
    fsspec.filesystem("memory").pipe("/orders/2024-01-02/_SUCCESS", b"")
    assert reader.waiting() == []
    assert [file.path for file in reader.files() or []] == ["/orders/2024-01-02/part-0.csv"]


@pytest.mark.parametrize("marker", ["done/_SUCCESS", "'{file}'", "'*.done'", "'{date}.done'"])
def test_a_marker_is_the_name_of_a_file(tmp_path: Path, marker: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(f"calendar: {{start: 2024-01-01}}\norders: {{path: x.csv, marker: {marker}}}\n")
    with pytest.raises(SourceConfigError, match="write the name of a file, such as _SUCCESS"):
        load_sources(file)
