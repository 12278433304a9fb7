"""What files hold is remembered: read once, read again when anything says so, and never needed."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources import contents
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.contents import Content, content_versions, versions_of
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.delimited import DelimitedReader
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source, csv_of

DAYS = [date(2024, 1, number) for number in (2, 3, 4)]


class Reads:
    """Counts the files that are read."""

    def __init__(self, source: Source, patch: pytest.MonkeyPatch) -> None:
        self.source = source
        self.cache = source.folder / "home" / "source_files.sqlite"
        self.names: list[str] = []
        read = DelimitedReader.read

        def counted(reader: Any, connection: Any, files: Any, *rest: Any) -> Any:
            self.names += [file.source.name for file in files]
            return read(reader, connection, files, *rest)

        patch.setattr(DelimitedReader, "read", counted)

    def versions(
        self,
        config: SourceConfig,
        window: Window | None = JANUARY,
        calendar: Calendar = CALENDAR,
    ) -> dict[date | None, str]:
        reader = reader_of(config)
        return content_versions(reader, calendar, window, self.cache)

    def taken(self) -> list[str]:
        """Names of the files that were read since the last look."""
        names, self.names = self.names, []
        return names


@pytest.fixture
def reads(source: Source, monkeypatch: pytest.MonkeyPatch) -> Reads:
    for at in DAYS:
        source.write(f"orders_{at}.csv", csv_of({"ordered_at": str(at)}))
    return Reads(source, monkeypatch)


BY_DAY = "orders_{date}.csv"
NAMES = [f"orders_{at}.csv" for at in DAYS]


def path_of(source: Source, name: str) -> Path:
    return source.folder / "in" / name


def test_unchanged_files_are_not_read_again(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    first = reads.versions(config)
    assert sorted(first) == DAYS
    assert reads.taken() == NAMES
    assert reads.versions(config) == first
    assert reads.versions(config, Window(DAYS[1], DAYS[2])) == {DAYS[1]: first[DAYS[1]]}
    assert reads.taken() == []


def test_only_the_file_that_changed_is_read(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    before = reads.versions(config)
    reads.taken()
    source.write(NAMES[1], csv_of({"ordered_at": str(DAYS[1]), "quantity": "3"}))
    after = reads.versions(config)
    assert reads.taken() == [NAMES[1]]
    assert [at for at in DAYS if after[at] != before[at]] == [DAYS[1]]


def test_a_file_touched_is_read_and_has_not_changed(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    before = reads.versions(config)
    reads.taken()
    os.utime(path_of(source, NAMES[0]), (1, 1))
    assert reads.versions(config) == before
    assert reads.taken() == [NAMES[0]]


def test_new_content_of_the_same_size_and_time_in_another_file_is_seen(
    source: Source, reads: Reads
) -> None:
    """A file that is moved over another, with its old time of change."""
    config = source.config(BY_DAY)
    before = reads.versions(config)
    path = path_of(source, NAMES[0])
    stat = path.stat()
    other = source.write("other", path.read_text().replace("O1", "O2"))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert reads.versions(config)[DAYS[0]] != before[DAYS[0]]


def test_what_a_load_read_is_not_read_again(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    source.load(config, cache=reads.cache)
    reads.taken()
    ledger = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
    assert reads.versions(config) == ledger
    assert reads.taken() == []


def test_a_load_of_one_day_remembers_all_that_its_file_holds(source: Source, reads: Reads) -> None:
    """A file for all days, of which one day was loaded."""
    config = source.config("orders_*.csv")
    source.load(config, Window(DAYS[1], DAYS[2]), cache=reads.cache)
    reads.taken()
    held = reads.versions(config)
    assert reads.taken() == []
    assert len({held[at] for at in DAYS}) == 3
    assert len({held[at] for at in JANUARY}) == 4  # and that of nothing


def test_a_deleted_cache_costs_a_reading_and_nothing_else(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    before = reads.versions(config)
    reads.cache.unlink()
    reads.taken()
    assert reads.versions(config) == before
    assert reads.taken() == NAMES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no database",
        b"SQLite format 3\0" + b"x" * 5000,
    ],
)
def test_a_cache_that_is_broken_costs_a_reading_and_nothing_else(
    source: Source, reads: Reads, content: bytes
) -> None:
    config = source.config(BY_DAY)
    before = reads.versions(config)
    reads.cache.write_bytes(content)
    assert reads.versions(config) == before
    reads.cache.write_bytes(content)
    assert source.load(config, cache=reads.cache).total.read == 3


@pytest.mark.parametrize(
    "words",
    [
        {"null_words": ("NA",)},
        {"time_zone": "Europe/Berlin"},
        {"rounding": "half_up"},
        {"timestamp_formats": ("%Y-%m-%d",)},
        {"columns": {"country": "customer_id"}},
        {"late_days": 1},
    ],
)
def test_another_mapping_reads_again(source: Source, reads: Reads, words: dict[str, Any]) -> None:
    before = reads.versions(source.config(BY_DAY))
    reads.taken()
    after = reads.versions(source.config(BY_DAY, **words))
    assert reads.taken() == NAMES
    assert not {*before.values()} & {*after.values()}


def test_other_limits_do_not_read_again(source: Source, reads: Reads) -> None:
    before = reads.versions(source.config(BY_DAY))
    reads.taken()
    words = {"max_rejected_share": 0.5, "max_volume_change": None}
    assert reads.versions(source.config(BY_DAY, **words)) == before


def test_another_calendar_reads_again(source: Source, reads: Reads) -> None:
    """A row is accounted to another day where its own is no longer covered."""
    config = source.config("orders_*.csv")
    before = reads.versions(config)
    reads.taken()
    after = reads.versions(config, calendar=Calendar(DAYS[1], CALENDAR.end))
    assert reads.taken() == NAMES
    assert after[DAYS[1]] != before[DAYS[1]]
    assert after[DAYS[2]] == before[DAYS[2]]


def test_another_typing_reads_again(
    source: Source, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reads.versions(source.config(BY_DAY))
    reads.taken()
    monkeypatch.setattr(contents, "TYPING", contents.TYPING + 1)
    assert reads.versions(source.config(BY_DAY)) == before
    assert reads.taken() == NAMES


def test_a_file_that_cannot_be_read_is_not_remembered(source: Source, reads: Reads) -> None:
    config = source.config(BY_DAY)
    good = path_of(source, NAMES[1]).read_text()
    source.write(NAMES[1], "nothing")
    with pytest.raises(SourceError, match=NAMES[1]):
        reads.versions(config)
    source.write(NAMES[1], good)
    assert sorted(reads.versions(config)) == DAYS


def test_a_file_that_grows_while_a_load_reads_it_is_not_remembered(
    source: Source, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = source.config(BY_DAY)
    read = DelimitedReader.read

    def growing(self: Any, *arguments: Any) -> Any:
        scan = read(self, *arguments)
        with path_of(source, NAMES[2]).open("a") as stream:
            stream.write("O9,2024-01-04,C1,P1,1,1\n")
        return scan

    with monkeypatch.context() as patch:
        patch.setattr(DelimitedReader, "read", growing)
        with pytest.raises(SourceError, match=r"changed while it was read|being written to"):
            source.load(config, cache=reads.cache)
    reads.taken()
    assert reads.versions(config)[DAYS[2]].startswith("2-")
    assert reads.taken() == NAMES


def test_sources_do_not_share_what_is_remembered(source: Source, reads: Reads) -> None:
    source.write("both.csv", "customer_id,product_id\nC1,P1\n")
    customers = reads.versions(source.config("both.csv", "customers"), None)
    products = reads.versions(source.config("both.csv", "products"), None)
    assert customers != products
    assert reads.taken() == ["both.csv", "both.csv"]


def test_a_version_names_rows_content_and_mapping() -> None:
    config = SourceConfig("orders", "orders_*.csv")
    held = {DAYS[0]: Content(2, 255)}
    assert versions_of(config, held, DAYS[:2]) == {
        DAYS[0]: f"2-00000000000000ff-{config.fingerprint}",
        DAYS[1]: f"0-{0:016x}-{config.fingerprint}",
    }


def test_contents_add_up_whatever_their_order() -> None:
    parts = [Content(1, (1 << 64) - 1), Content(2, 5), Content(3, 1 << 63)]
    forth, back = Content(), Content()
    for part in parts:
        forth += part
    for part in reversed(parts):
        back += part
    assert forth == back == Content(6, 4 + (1 << 63))
