"""Changed customers go out once: to a webhook, a folder, and a table of a real PostgreSQL."""

import csv
import http.server
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, materialize

from analytics_assets.assets.activation import ACTIVATION, activation_assets
from analytics_assets.automation.jobs import SCORE_DAY
from analytics_assets.serving.activation import (
    ActivationError,
    Delivery,
    Ledger,
    deliver,
    excluded_customers,
)
from analytics_assets.serving.destinations import COLUMNS, CsvDrop, PostgresTable, Webhook
from analytics_assets.settings import Settings, SettingsError
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import current_build, open_build, publish

from ..automation.servers import accept, answer_json, http_server
from ..conftest import Project, make_settings
from ..postgres import programs, server

CUSTOMERS = 300


@dataclass
class Shop:
    """A home whose warehouse changes and is published again."""

    settings: Settings

    @property
    def build(self) -> Path:
        return current_build(self.settings.published_dir)

    def change(self, *statements: str) -> Path:
        warehouse = Warehouse(self.settings.warehouse_path)
        with warehouse.transaction() as session:
            for statement in statements:
                session.execute(statement)
        return publish(warehouse, self.settings.published_dir, 5).path

    def expected(self, where: str = "TRUE") -> list[dict[str, Any]]:
        """What has to go out, by SQL of our own."""
        with open_build(self.build) as session:
            return session.records(
                f"""SELECT c.customer_id, '{self.build.parent.name}' AS build,
                c.snapshot_date AS segment_on, c.segment, c.value_segment,
                p.snapshot_date AS predicted_on, round(p.churn_probability, 2) AS churn_probability,
                p.risk_band FROM marts.user_analytics c LEFT JOIN churn.churn_predictions p
                ON p.customer_id = c.customer_id AND p.snapshot_date = DATE '2024-01-03'
                WHERE {where.replace("customer_id", "c.customer_id")} ORDER BY 1"""
            )


@pytest.fixture
def shop(home: Settings) -> Shop:
    return Shop(home)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def as_json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{n: str(v) if isinstance(v, date) else v for n, v in row.items()} for row in rows]


# Of two customers only one changes: the probability of the other stays the same when rounded.
MOVED = (
    "UPDATE marts.user_analytics SET segment = CASE segment WHEN 'Loyal' THEN 'Lost' ELSE 'Loyal' "
    "END WHERE customer_id = 'C000007'",
    "UPDATE churn.churn_predictions SET churn_probability = churn_probability + 0.0001 "
    "WHERE customer_id = 'C000008'",
)


def test_only_what_changed_goes_out_and_only_once(shop: Shop, ledger: Ledger) -> None:
    with http_server(accept) as (url, received):
        hook = Webhook(url, batch=100)
        assert deliver(shop.build, hook, ledger) == Delivery(CUSTOMERS, 0, 0)
        rows = [row for body in received for row in body["customers"]]
        assert rows == as_json(shop.expected())
        assert {body["build"] for body in received} == {"000001"}
        received.clear()
        assert deliver(shop.build, hook, ledger) == Delivery(0, CUSTOMERS, 0)
        assert received == []
        shop.change(
            "UPDATE churn.churn_predictions SET churn_probability = 0.501 "
            "WHERE customer_id = 'C000008'"
        )
        deliver(shop.build, hook, ledger)
        received.clear()
        build = shop.change(*MOVED)
        assert deliver(build, hook, ledger) == Delivery(1, CUSTOMERS - 1, 0)
    (body,) = received
    assert body["customers"] == as_json(shop.expected("customer_id = 'C000007'"))


def test_after_a_failure_the_rest_goes_out(shop: Shop, ledger: Ledger) -> None:
    asked = 0

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        nonlocal asked
        asked += 1
        answer_json(handler, {}, 503 if asked == 2 else 200)

    with http_server(answer) as (url, received):
        hook = Webhook(url, batch=100)
        with pytest.raises(ActivationError, match=r"answered 503.*materialize activation again"):
            deliver(shop.build, hook, ledger)
        assert deliver(shop.build, hook, ledger) == Delivery(200, 100, 0)
        first, refused, again, last = received
        assert refused == again
        taken = [row["customer_id"] for body in (first, again, last) for row in body["customers"]]
    assert taken == [f"C{number:06d}" for number in range(CUSTOMERS)]


def test_after_a_crash_before_the_ledger_the_same_batch_comes_under_the_same_key(
    shop: Shop, ledger: Ledger, tmp_path: Path
) -> None:
    keys: list[str] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        keys.append(handler.headers["Idempotency-Key"])
        accept(handler)

    class Crashes(Ledger):
        def note(self, *_: Any) -> None:
            raise KeyboardInterrupt

    crashing = Crashes(tmp_path / "ledger.sqlite")
    with http_server(answer) as (url, received):
        with pytest.raises(KeyboardInterrupt):
            deliver(shop.build, Webhook(url), crashing)
        deliver(shop.build, Webhook(url), ledger)
    crashing.close()
    assert received[0] == received[1]
    assert keys[0] == keys[1]
    assert keys[0].startswith("000001-")


def test_a_redirect_is_not_taken_for_a_delivery(shop: Shop, ledger: Ledger) -> None:
    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with (
        http_server(redirect) as (url, _),
        pytest.raises(ActivationError, match="answered 302"),
    ):
        deliver(shop.build, Webhook(url), ledger)
    with pytest.raises(ActivationError, match="could not be reached"):
        deliver(shop.build, Webhook(url), ledger)
    assert ledger.taken("webhook") == {}


def test_erased_and_excluded_customers_never_go_out(
    shop: Shop, ledger: Ledger, tmp_path: Path
) -> None:
    file = tmp_path / "excluded.txt"
    file.write_text("C000001\n C000002 \n\n", encoding="utf-8-sig")
    excluded = excluded_customers(file)
    drop = CsvDrop(tmp_path / "drop")
    assert deliver(shop.build, drop, ledger, excluded).sent == CUSTOMERS - 2
    shop.change("DELETE FROM marts.user_analytics WHERE customer_id = 'C000003'")
    assert deliver(shop.build, drop, ledger, excluded) == Delivery(0, CUSTOMERS - 3, 1)
    assert not {"C000001", "C000002", "C000003"} & ledger.taken("csv").keys()
    text = "".join(f.read_text() for f in drop.folder.iterdir())
    assert "C000001" not in text
    assert "C000002" not in text


def test_a_file_is_whole_and_its_formulas_are_none(
    shop: Shop, ledger: Ledger, tmp_path: Path
) -> None:
    shop.change(
        "UPDATE marts.user_analytics SET customer_id = '=1+1' WHERE customer_id = 'C000009'"
    )
    drop = CsvDrop(tmp_path / "drop")
    deliver(shop.build, drop, ledger)
    (file,) = drop.folder.iterdir()
    assert file.name.startswith("customers-000002-")
    with file.open(newline="") as opened:
        head, *rows = csv.reader(opened)
    assert head == [*COLUMNS]
    wanted = [["" if v is None else str(v) for v in row.values()] for row in shop.expected()]
    assert rows == [[value.replace("=1+1", "'=1+1") for value in row] for row in wanted]
    # A folder that cannot be written to: nothing counts as taken.
    blocked = CsvDrop(tmp_path / "file")
    blocked.folder.write_text("")
    other = Ledger(tmp_path / "other.sqlite")
    with pytest.raises(ActivationError, match="ANALYTICS_ACTIVATION_FOLDER"):
        deliver(shop.build, blocked, other)
    assert other.taken("csv") == {}
    other.close()


def test_addresses_that_are_none_are_refused(tmp_path: Path) -> None:
    for name, value in (
        ("POSTGRES_URL", "db.example"),
        ("WEBHOOK_URL", "x"),
        ("EXCLUDED", "nowhere"),
    ):
        with pytest.raises(SettingsError, match=f"ANALYTICS_ACTIVATION_{name}"):
            make_settings(tmp_path, **{f"ANALYTICS_ACTIVATION_{name}": value})


@pytest.mark.slow
@pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL server to start")
def test_the_table_has_the_newest_row_of_each_customer(shop: Shop, ledger: Ledger) -> None:
    import adbc_driver_postgresql.dbapi as postgres

    def table(address: str) -> list[dict[str, Any]]:
        with postgres.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM customer_activation ORDER BY customer_id")
            rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return rows

    with server() as started:
        of_team = PostgresTable(started.address, batch=128)
        deliver(shop.build, of_team, ledger)
        assert table(started.address) == shop.expected()
        shop.change(
            *MOVED,
            "DELETE FROM marts.user_analytics WHERE customer_id = 'C000003'",
        )
        assert deliver(shop.build, of_team, ledger).forgotten == 1
        found = table(started.address)
        assert [row["customer_id"] for row in found] == [
            row["customer_id"] for row in shop.expected()
        ]
        (moved,) = [row for row in found if row["customer_id"] == "C000007"]
        assert [moved] == shop.expected("customer_id = 'C000007'")
        # A ledger that was lost: all goes out again, and nothing is there twice.
        lost = Ledger(shop.settings.home / "again.sqlite")
        assert deliver(shop.build, of_team, lost).sent == CUSTOMERS - 1
        assert table(started.address) == shop.expected()
        lost.close()
    with pytest.raises(ActivationError, match="ANALYTICS_ACTIVATION_POSTGRES_URL") as failed:
        deliver(
            shop.change(MOVED[0]),
            PostgresTable("postgresql://team:hidden-word@127.0.0.1:1/shop"),
            ledger=Ledger(shop.settings.home / "third.sqlite"),
        )
    assert "hidden-word" not in str(failed.value)


@pytest.mark.slow
def test_the_asset_is_there_with_a_destination(copied_project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    settings = replace(copied_project.settings, activation_folder=folder)
    job = replace(copied_project, settings=settings).definitions().resolve_job_def(SCORE_DAY)
    assert AssetKey(ACTIVATION) in job.asset_layer.executable_asset_keys
    # A destination that is away does not keep the rows from the others, and says so.
    away = replace(settings, activation_webhook_url="http://127.0.0.1:1/")
    instance = copied_project.instance
    failed = materialize(activation_assets(away), instance=instance, raise_on_error=False)
    assert not failed.success
    assert len([*folder.iterdir()]) == 1
    assert materialize(activation_assets(settings), instance=instance).success
    assert len([*folder.iterdir()]) == 1  # nothing has changed since
    assert activation_assets(copied_project.settings) == []
