"""An object store as a source, against a local S3 server."""

import duckdb
import pytest

pytest.importorskip("moto")

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from analytics_assets.partitions import Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.files import FileReader
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, ORDERS, Source, csv_of

pytestmark = pytest.mark.slow
FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket; where it is and who may read it is in the environment only."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem(use_listings_cache=False)
    if store.exists("lake"):
        store.rm("lake", recursive=True)
    store.mkdir("lake")
    yield store
    s3fs.S3FileSystem.clear_instance_cache()


def put_parquet(store: Any, path: str, rows: str) -> None:
    """Rows of order_id, ordered_at as SQL VALUES, with the other columns filled in."""
    with duckdb.connect() as connection:
        frame = connection.sql(
            "SELECT order_id, ordered_at::TIMESTAMP AS ordered_at, 'C1' AS customer_id, "
            "'P1' AS product_id, 2 AS quantity, 3.5::DOUBLE AS unit_price "
            f"FROM (VALUES {rows}) AS t(order_id, ordered_at)"
        ).to_arrow_table()
    import pyarrow.parquet as pq

    with store.open(f"lake/{path}", "wb") as stream:
        pq.write_table(frame, stream)


LAKE = SourceConfig("orders", "s3://lake/orders/date={date}/*.parquet", format="parquet")


@pytest.fixture
def lake(bucket: Any) -> Any:
    put_parquet(bucket, "orders/date=2024-01-02/a.parquet", "('O1', '2024-01-02 10:00')")
    put_parquet(bucket, "orders/date=2024-01-02/b.parquet", "('O2', '2024-01-02 11:00')")
    put_parquet(bucket, "orders/date=2024-01-03/a.parquet", "('O3', '2024-01-03 12:00')")
    put_parquet(bucket, "orders/date=latest/a.parquet", "('O9', '2024-01-03 12:00')")
    return bucket


@pytest.mark.parametrize("window", [JANUARY, Window(FIRST, SECOND)])
def test_folders_of_days_are_loaded(source: Source, lake: Any, window: Window) -> None:
    # A window of some days is asked for day by day, a longer one by pattern.
    for wide in (
        window,
        Window(date(2024, 1, 1), date(2024, 3, 1)) if window == JANUARY else window,
    ):
        source.empty()
        result = source.load(LAKE, wide)
        assert result.total.accepted == (3 if window == JANUARY else 2)
    rows = source.rows(
        "SELECT order_id, source_file, source_row, unit_price::VARCHAR FROM raw.raw_orders "
        "ORDER BY ALL LIMIT 2"
    )
    assert rows == [
        ("O1", "date=2024-01-02/a.parquet", 1, "3.5000"),
        ("O2", "date=2024-01-02/b.parquet", 1, "3.5000"),
    ]


def test_exactly_the_days_that_changed_are_seen(source: Source, lake: Any) -> None:
    def versions() -> dict[Any, str]:
        return source_versions(LAKE, CALENDAR, JANUARY, source.warehouse)

    before = versions()
    assert list(before) == [FIRST, SECOND]
    put_parquet(lake, "orders/date=2024-01-02/b.parquet", "('O2', '2024-01-02 11:30')")
    after = versions()
    assert [day for day in after if after[day] != before[day]] == [FIRST]
    lake.mv("lake/orders/date=2024-01-03/a.parquet", "lake/orders/date=2024-01-03/z.parquet")
    assert versions() == after


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_text_files_too(source: Source, bucket: Any, suffix: str) -> None:
    import gzip

    text = csv_of({}, {"order_id": "O2"}, {"quantity": "x"}).encode()
    with bucket.open(f"lake/in/orders.{suffix}", "wb") as stream:
        stream.write(gzip.compress(text) if suffix.endswith("gz") else text)
    result = source.load(SourceConfig("orders", f"s3://lake/in/*.{suffix}"))
    assert (result.total.accepted, result.total.rejected) == (2, 1)
    assert source.rows("SELECT source_file, source_line FROM raw.rejected_rows") == [
        (f"orders.{suffix}", 4)
    ]


def test_an_object_that_is_replaced_while_it_is_read_is_not_loaded(
    source: Source, lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.load(LAKE)
    before = source.state()
    put_parquet(lake, "orders/date=2024-01-03/a.parquet", "('O4', '2024-01-03 12:00')")
    local = FileReader._local

    def replaced(reader: FileReader, file: Any, scratch: Any) -> Any:
        held = local(reader, file, scratch)
        put_parquet(lake, "orders/date=2024-01-03/a.parquet", "('O5', '2024-01-03 13:00:01')")
        return held

    monkeypatch.setattr(FileReader, "_local", replaced)
    with pytest.raises(SourceError, match="changed while it was read"):
        source.load(LAKE)
    assert source.state() == before
    monkeypatch.setattr(FileReader, "_local", local)
    assert source.load(LAKE).total.accepted == 3


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("s3://lake/nothing/*.parquet", "no file at s3://lake/nothing"),
        ("s3://lake/nothing/{date}.parquet", "no file at s3://lake/nothing"),
        ("s3://no-such-bucket/*.parquet", "s3://no-such-bucket"),
        ("nosuch://lake/*.parquet", "Object stores need the package"),
    ],
)
def test_what_is_wrong_is_named_without_credentials(
    source: Source, bucket: Any, path: str, sentence: str
) -> None:
    with pytest.raises(SourceError, match=sentence.replace("*", r"\*")) as caught:
        source.load(replace(LAKE, path=path))
    assert "hunter2" not in str(caught.value)


def test_the_columns_of_folders_are_columns(source: Source, bucket: Any) -> None:
    put_parquet(bucket, "h/country=DE/a.parquet", "('O1', '2024-01-02 10:00')")
    put_parquet(bucket, "h/country=FR/a.parquet", "('O2', '2024-01-02 10:00')")
    source.load(SourceConfig("orders", "s3://lake/h/*/*.parquet", format="parquet"))
    assert source.rows("SELECT order_id, country FROM raw.raw_orders ORDER BY 1") == [
        ("O1", "DE"),
        ("O2", "FR"),
    ]
    assert set(ORDERS) <= set(reader_of(LAKE).config.contract.columns)
