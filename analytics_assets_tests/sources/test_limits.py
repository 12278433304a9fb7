"""Limits of a load: what stops it, what allows it, and that nothing changes where it is stopped."""

from datetime import date, timedelta

import duckdb
import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.limits import MIN_ROWS, require_within_limits
from analytics_assets.sources.readers import SourceError
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.sources.conftest import Source
from analytics_assets_tests.sources.forms import csv_text

CALENDAR = Calendar(date(2024, 1, 1), date(2024, 3, 1))


def day(number: int) -> date:
    return date(2024, 1, 1) + timedelta(days=number - 1)


def orders(good: int, bad: int = 0, at: date = date(2024, 1, 2)) -> str:
    return csv_text(
        {
            "order_id": f"O{n}",
            "ordered_at": str(at),
            "customer_id": "C1",
            "product_id": "P1",
            "quantity": "1" if n < good else "x",
            "unit_price": "1",
        }
        for n in range(good + bad)
    )


@pytest.mark.parametrize(
    ("good", "bad", "share", "passes"),
    [
        (80, 20, 0.2, True),
        (79, 21, 0.2, False),
        (100, 1, 0.0, False),
        (100, 0, 0.0, True),
        (0, 100, 1.0, True),
        (0, 99, 0.2, True),  # of so few rows a share says nothing
        (50, 51, 0.5, False),
    ],
)
def test_the_share_of_rejected_rows(
    source: Source, good: int, bad: int, share: float, passes: bool
) -> None:
    source.write("orders.csv", orders(3))
    source.load()
    before = source.state()
    source.write("orders.csv", orders(good, bad))
    config = source.config(max_rejected_share=share)
    if passes:
        assert source.load(config).total.rejected == bad
        return
    with pytest.raises(SourceError) as caught:
        source.load(config)
    assert str(caught.value) == (
        f"orders: {bad} of {good + bad} rows are rejected, more than max_rejected_share "
        f"({share:.0%}) allows: quantity: not a whole number of 32 bits ({bad}). Correct the "
        "mapping or the source, or raise max_rejected_share. Nothing was loaded."
    )
    assert source.state() == before


def test_the_share_is_that_of_the_window(source: Source) -> None:
    """A bad day does not hide among good ones, nor a good day suffer from it."""
    source.write("a.csv", orders(1000, at=day(2)))
    source.write("b.csv", orders(0, 150, at=day(3)))
    config = source.config("*.csv")
    assert source.load(config, Window(day(2), day(3))).total.accepted == 1000
    with pytest.raises(SourceError, match="150 of 150 rows"):
        source.load(config, Window(day(3), day(4)))
    assert source.load(config).total.rejected == 150


def test_malformed_rows_count_too(source: Source) -> None:
    source.write("orders.csv", orders(100) + "malformed\n" * 30)
    with pytest.raises(SourceError, match=r"30 of 130 rows.*too few fields: 1 for 6 .* \(30\)"):
        source.load()


def test_reasons_are_named_most_frequent_first_and_no_more_than_five(source: Source) -> None:
    text = orders(10, 60)
    for number in range(1, 8):
        text += f"O,2024-01-02,C1,P1{',x' * number}\n" * number * 2
    source.write("orders.csv", text)
    with pytest.raises(SourceError) as caught:
        source.load()
    listed = str(caught.value).split("allows: ")[1].split(". Correct")[0].split("; ")
    counts = [int(reason.rpartition("(")[2].rstrip(")")) for reason in listed]
    assert len(counts) == 5
    assert counts == sorted(counts, reverse=True)


# The volume.


def volume(
    known: dict[date | None, int],
    read: dict[date | None, int],
    change: float | None = 0.9,
    source: str = "orders",
) -> None:
    """Ask whether rows of days may be loaded where others were before."""
    days = [at for at in read if at]
    window = Window(min(days), max(days) + timedelta(days=1)) if days else None
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(TABLES["source_loads"].ddl)
        for at, rows in known.items():
            connection.execute(
                "INSERT INTO raw.source_loads BY NAME SELECT 'orders' AS source, ? AS window_date, "
                "'v' AS source_version, ? AS rows_read",
                [at, rows],
            )
        config = SourceConfig(source, max_volume_change=change)
        require_within_limits(DuckDBSession(connection), config, window, read, 0, {}, False)


@pytest.mark.parametrize(
    ("known", "read", "passes"),
    [
        ({}, 0, True),  # nothing to compare with
        ({day(8): 1000}, 100, True),
        ({day(8): 1000}, 99, False),
        ({day(8): 1000}, 10_000, True),
        ({day(8): 1000}, 10_001, False),
        ({day(8): 99}, 0, True),  # too few rows to say
        ({day(8): 100}, 9, False),
        ({day(1): 1000}, 99, False),  # the same weekday a week before
        ({day(1): 1000}, 100, True),
        ({day(2): 1000}, 0, True),  # another weekday says nothing
        ({day(8): 1000, day(1): 10}, 10, False),  # the day itself says more
        ({day(15): 1000}, 0, True),  # a later day is no baseline
    ],
)
def test_a_day_is_compared_with_itself_or_with_its_weekdays_before(
    known: dict[date | None, int], read: int, passes: bool
) -> None:
    if passes:
        volume(known, {day(8): read})
        return
    with pytest.raises(SourceError, match=r"where about [0-9,]+ were expected from earlier loads"):
        volume(known, {day(8): read})


def test_of_four_weeks_the_median_is_expected() -> None:
    known: dict[date | None, int] = {day(1): 9000, day(8): 200, day(15): 220, day(22): 10}
    with pytest.raises(SourceError, match="about 210 were expected"):
        volume(known, {day(29): 1})
    with pytest.raises(SourceError, match="about 190 were expected"):
        volume({**known, day(1): 180}, {day(29): 100_000})


def test_days_of_a_window_are_summed() -> None:
    known: dict[date | None, int] = {day(8): 1000, day(9): 1000}
    volume(known, {day(8): 0, day(9): 1000})
    with pytest.raises(SourceError, match=r"150 rows of \[2024-01-08, 2024-01-10\), .* 2,000"):
        volume(known, {day(8): 100, day(9): 50})


def test_days_within_the_window_are_no_baseline_of_each_other() -> None:
    volume({day(8): 1000}, {day(8): 100, day(15): 0})


def test_a_source_without_days_is_compared_with_its_last_load() -> None:
    volume({None: 1000}, {None: 100})
    with pytest.raises(SourceError, match="99 rows, where about 1,000"):
        volume({None: 1000}, {None: 99})


def test_other_sources_are_no_baseline() -> None:
    volume({day(8): 1000}, {day(8): 1}, source="user_sessions")


@pytest.mark.parametrize(
    ("change", "read", "passes"),
    [(None, 0, True), (1.0, 0, True), (0.5, 500, True), (0.5, 499, False), (0.0, 1001, False)],
)
def test_the_share_of_change_is_the_teams(change: float | None, read: int, passes: bool) -> None:
    if passes:
        volume({day(8): 1000}, {day(8): read}, change)
    else:
        with pytest.raises(SourceError, match="max_volume_change"):
            volume({day(8): 1000}, {day(8): read}, change)


def test_a_volume_that_is_off_stops_the_load_and_can_be_allowed(source: Source) -> None:
    assert MIN_ROWS == 100
    source.write("orders.csv", orders(200))
    source.load()
    before = source.state()
    source.write("orders.csv", orders(19))
    with pytest.raises(SourceError, match="tag the run analytics/any_volume: true"):
        source.load()
    assert source.state() == before
    assert source.load(any_volume=True).total.read == 19
    source.write("orders.csv", orders(18))
    assert source.load().total.read == 18  # what was allowed is what is expected


def test_rejected_rows_are_volume_too(source: Source) -> None:
    """They were delivered."""
    source.write("orders.csv", orders(150))
    source.load()
    source.write("orders.csv", orders(10, 140))
    assert source.load(source.config(max_rejected_share=1)).total.accepted == 10


def test_a_file_that_is_gone_for_a_day_is_off_volume(source: Source) -> None:
    for number in (8, 9):
        source.write(f"orders_{day(number)}.csv", orders(200, at=day(number)))
    config = source.config("orders_{date}.csv")
    source.load(config)
    before = source.state()
    (source.folder / "in" / f"orders_{day(9)}.csv").write_text(orders(0))
    with pytest.raises(SourceError, match=r"0 rows of .*, where about 200"):
        source.load(config, Window(day(9), day(10)))
    (source.folder / "in" / f"orders_{day(9)}.csv").unlink()
    with pytest.raises(SourceError, match=r"0 rows of .*, where about 200"):
        source.load(config, Window(day(9), day(10)))
    assert source.state() == before
