"""The built project, held against counts of the source files that no line of the project made."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dagster import AssetCheckSeverity, AssetKey, DagsterEventType

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.assets.dbt.command import prepare_manifest
from analytics_assets.assets.quality.profiles import PROFILES
from analytics_assets.automation.outdated import outdated
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.warehouse.publish import current_build, open_build

from .canaries import places_of, tables_with
from .conftest import OF_SAMPLE, Project, table_contents

pytestmark = pytest.mark.slow

KEY = ["order_id", "line_number"]
DAY_OR_MONTH = (
    "of the form 1/2/2024, where day or month comes first: declare `timestamp_formats`, "
    "such as ['%m/%d/%Y'] or ['%d/%m/%Y']"
)
REJECTED = {
    ("orders", "quantity: not a whole number of 32 bits"): "unreadable_quantity",
    (
        "orders",
        "quantity: a fraction; `decimal_quantity: true` accepts quantities with decimals",
    ): "unreadable_quantity",
    ("orders", "unit_price: not a number of at most 4 decimals"): "unreadable_price",
    ("orders", "ordered_at: not a time in the declared format"): "unreadable_date",
    ("orders", f"ordered_at: {DAY_OR_MONTH}"): "unreadable_date",
    ("orders", "ordered_at: missing"): "missing_date",
    ("user_sessions", "started_at: not a time in the declared format"): "session_unreadable_start",
    ("user_sessions", f"started_at: {DAY_OR_MONTH}"): "session_unreadable_start",
}


class Source:
    """The sample's files as text, read with pandas, and its manifest."""

    def __init__(self, folder: Path) -> None:
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.orders = self._days(folder, "orders")
        self.sessions = self._days(folder, "user_sessions")
        self.customers = pd.read_csv(folder / "customers.csv", dtype=str, keep_default_na=False)
        self.products = pd.read_csv(folder / "products.csv", dtype=str, keep_default_na=False)
        self.planted = pd.read_csv(folder / "dirty_rows.csv", dtype=str, keep_default_na=False)

    @staticmethod
    def _days(folder: Path, name: str) -> pd.DataFrame:
        return pd.concat(
            [
                pd.read_csv(file, dtype=str, keep_default_na=False).assign(file=file.name)
                for file in sorted((folder / name).glob("*.csv"))
            ],
            ignore_index=True,
        )

    def good_orders(self) -> pd.DataFrame:
        """Lines with a date, a whole quantity and a price that can be read."""
        rows = self.orders
        form = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"
        readable = (
            rows["ordered_at"].str.fullmatch(form)
            & pd.to_datetime(
                rows["ordered_at"], errors="coerce", format="%Y-%m-%d %H:%M:%S"
            ).notna()
        )
        whole = rows["quantity"].str.fullmatch(r"-?\d+")
        priced = rows["unit_price"].str.fullmatch(r"-?\d+(\.\d+)?")
        return rows[readable & whole & priced]


@pytest.fixture(scope="module")
def source(built_project: Project) -> Source:
    return Source(built_project.settings.sample_dir)


def events(project: Project, kind: DagsterEventType) -> Iterator[tuple[str, Any]]:
    """Run and event, for all runs."""
    for run in project.instance.get_runs():
        for entry in project.instance.all_logs(run.run_id, of_type=kind):
            assert entry.dagster_event is not None
            yield run.run_id, entry.dagster_event


# What ran.


def test_every_run_succeeds(built_project: Project) -> None:
    assert built_project.outcome.failures == []
    assert {run.status.value for run in built_project.instance.get_runs()} == {"SUCCESS"}
    assert len(built_project.instance.get_runs()) == 4


def test_every_planned_partition_of_every_asset_is_materialized(built_project: Project) -> None:
    planned = {
        (run, event.asset_key, event.partition)
        for run, event in events(built_project, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    }
    made = Counter(
        (run, event.asset_key, event.partition)
        for run, event in events(built_project, DagsterEventType.ASSET_MATERIALIZATION)
    )
    assert set(made) == planned
    assert set(made.values()) == {1}
    graph = built_project.definitions().resolve_asset_graph()
    assert {key for _, key, _ in made} == {
        key
        for key in graph.executable_asset_keys
        if graph.get(key).is_materializable and key.path[-1] != PROFILES
    }


def test_every_partition_of_the_calendar_is_there(built_project: Project) -> None:
    graph = built_project.definitions().resolve_asset_graph()
    for name in ("raw_orders", "raw_user_sessions", "fact_orders", "customer_days"):
        key = AssetKey(name)
        expected = set(graph.get(key).partitions_def.get_partition_keys())
        assert built_project.instance.get_materialized_partitions(key) == expected
    months = built_project.instance.get_materialized_partitions(AssetKey("churn_features"))
    assert sorted(months) == [f"2024-0{month}-01" for month in range(1, 7)]


def test_every_planned_check_is_evaluated_and_none_is_an_error(built_project: Project) -> None:
    planned = Counter(
        (run, event.event_specific_data.asset_key, event.event_specific_data.check_name)
        for run, event in events(built_project, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED)
    )
    found = [
        (run, event.event_specific_data)
        for run, event in events(built_project, DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    assert Counter((run, check.asset_key, check.check_name) for run, check in found) == planned
    errors = [
        (c.asset_key, c.check_name, c.description)
        for _, c in found
        if not c.passed and c.severity == AssetCheckSeverity.ERROR
    ]
    assert errors == []
    graph = built_project.definitions().resolve_asset_graph()
    assert {(key, name) for _, key, name in planned} == {
        (key.asset_key, key.name) for key in graph.asset_check_keys
    }


def test_the_ledgers_hold_every_check_and_run(built_project: Project) -> None:
    checks = {
        (run, event.event_specific_data.asset_key.path[-1], event.event_specific_data.check_name)
        for run, event in events(built_project, DagsterEventType.ASSET_CHECK_EVALUATION)
    }
    ledger = built_project.query(
        "SELECT run_id, asset, check_name FROM quality.data_quality_metrics WHERE day IS NULL"
    )
    # Checks that are evaluated after the ledger in the last run come with the next.
    (last,) = built_project.query(
        "SELECT run_id FROM quality.pipeline_executions WHERE ended_at IS NULL"
    )
    assert set(ledger) <= checks
    assert {row for row in checks if row[0] not in last} <= set(ledger)
    assert len(ledger) == len(set(ledger))
    runs = {run.run_id for run in built_project.instance.get_runs()}
    assert {
        r for (r,) in built_project.query("SELECT run_id FROM quality.pipeline_executions")
    } == (runs)


def test_nothing_is_outdated_after_a_full_run(built_project: Project) -> None:
    project = built_project
    assert (
        outdated(project.definitions(), project.instance, project.sources, project.warehouse) == []
    )


# Rows add up.


def test_every_row_of_the_files_is_accepted_or_rejected(
    built_project: Project, source: Source
) -> None:
    found = {
        name: tuple(counts)
        for name, *counts in built_project.query(
            "SELECT source, sum(rows_read), sum(rows_accepted), sum(rows_rejected) "
            "FROM raw.source_loads GROUP BY 1"
        )
    }
    good = len(source.good_orders())
    lines, visits = len(source.orders), len(source.sessions)
    unreadable = source.manifest["dirty"]["session_unreadable_start"]
    assert found == {
        "orders": (lines, good, lines - good),
        "user_sessions": (visits, visits - unreadable, unreadable),
        "customers": (len(source.customers), len(source.customers), 0),
        "products": (len(source.products), len(source.products), 0),
    }
    for name, (_, accepted, _) in found.items():
        assert built_project.query(f"SELECT count(*) FROM raw.raw_{name}") == [(accepted,)]


def test_planted_rows_are_rejected_with_their_reason_and_no_others(
    built_project: Project, source: Source
) -> None:
    rows = built_project.query(
        "SELECT source, reasons, count(*) FROM raw.rejected_rows GROUP BY ALL"
    )
    found: Counter[str] = Counter()
    for name, reason, count in rows:
        found[REJECTED[name, reason]] += count
    assert found == {kind: source.manifest["dirty"][kind] for kind in REJECTED.values()}


def test_a_rejected_row_is_kept_whole(built_project: Project, source: Source) -> None:
    rows = built_project.query(
        "SELECT source_file, source_row, row FROM raw.rejected_rows WHERE source = 'orders'"
    )
    assert rows
    for file, number, text in rows:
        of_file = source.orders[source.orders["file"] == Path(file).name].drop(columns="file")
        kept = {column: value or "" for column, value in json.loads(text).items()}
        assert kept == of_file.iloc[number - 1].to_dict()


def test_each_line_stands_once_with_its_newest_content(
    built_project: Project, source: Source
) -> None:
    good = source.good_orders()
    newest = good.sort_values("updated_at", kind="stable").groupby(KEY).last()
    staged = built_project.query(
        "SELECT order_id, line_number, quantity, status, copies, customer_id "
        "FROM staging.stg_orders"
    )
    assert len(staged) == len(newest)
    copies = good.groupby(KEY).size()
    assert sum(row[4] for row in staged) == len(good)
    for order, line, quantity, status, count, customer in staged:
        expected = newest.loc[(order, str(line))]
        assert (quantity, status, customer or "") == (
            Decimal(expected["quantity"]),
            expected["status"],
            expected["customer_id"],
        )
        assert count == copies.loc[(order, str(line))]


def test_exact_duplicates_are_collapsed(built_project: Project, source: Source) -> None:
    planted = source.planted[source.planted["kind"] == "exact_duplicate"]
    assert len(planted) == source.manifest["dirty"]["exact_duplicate"] > 1
    facts = Counter(
        (order, str(line))
        for order, line in built_project.query("SELECT order_id, line_number FROM core.fact_orders")
    )
    for key in planted[KEY].itertuples(index=False, name=None):
        assert facts[key] == 1, key
    assert max(facts.values()) == 1


def test_orphans_are_inferred_members_and_missing_customers_the_unknown_one(
    built_project: Project, source: Source
) -> None:
    good = source.good_orders()
    bought = {*good["customer_id"], *source.sessions["customer_id"]} - {""}
    for dimension, column, known, seen in [
        ("dim_customers", "customer_id", set(source.customers["customer_id"]), bought),
        ("dim_products", "product_id", set(source.products["product_id"]), {*good["product_id"]}),
    ]:
        members = defaultdict(set)
        for member, kind in built_project.query(
            f"SELECT {column}, member_type FROM core.{dimension}"
        ):
            members[kind].add(member)
        assert members == {
            "source": known,
            "inferred": seen - known,
            "unknown": {"(unknown)"},
        }
        assert seen - known
    lines = built_project.query(
        "SELECT order_id, line_number FROM core.fact_orders WHERE customer_id = '(unknown)'"
    )
    without = good[good["customer_id"] == ""]
    assert {(order, str(line)) for order, line in lines} == set(
        without[KEY].itertuples(index=False, name=None)
    )


def test_money_is_that_of_the_files(built_project: Project, source: Source) -> None:
    good = source.good_orders()
    newest = good.sort_values("updated_at", kind="stable").groupby(KEY).last()
    quantity = newest["quantity"].astype(int)
    cents = (newest["unit_price"].astype(float) * 100).round().astype(int)
    sale = (quantity > 0) & (cents > 0) & (newest["status"] != "cancelled")
    gross = int((quantity * cents)[sale].sum())
    net = gross + int((quantity * cents)[quantity < 0].sum())
    for relation in ("core.customer_days", "marts.sales_daily", "marts.customer_sales"):
        ((found_gross, found_net),) = built_project.query(
            f"SELECT sum(gross_amount) * 100, sum(net_amount) * 100 FROM {relation}"
        )
        assert (found_gross, found_net) == (gross, net), relation


# What Dagster is told.


@pytest.mark.parametrize(
    "name", [table.name for table in OF_SAMPLE if table.partitioning is not None]
)
def test_the_row_count_of_a_partition_is_that_of_the_table(
    built_project: Project, name: str
) -> None:
    table = TABLES[name]
    told = {}
    for _, event in events(built_project, DagsterEventType.ASSET_MATERIALIZATION):
        if event.asset_key == AssetKey(name):
            metadata = event.step_materialization_data.materialization.metadata
            told[event.partition] = metadata["dagster/partition_row_count"].value
    held = dict(
        built_project.query(
            f"SELECT {table.window_column}::VARCHAR, count(*) FROM {table.relation} GROUP BY 1"
        )
    )
    assert told == {day: held.get(day, 0) for day in told}
    assert sum(told.values()) == sum(held.values())
    assert held


def test_the_row_count_of_a_table_is_that_of_the_table(built_project: Project) -> None:
    counted = 0
    for _, event in events(built_project, DagsterEventType.ASSET_MATERIALIZATION):
        metadata = event.step_materialization_data.materialization.metadata
        name = event.asset_key.path[-1]
        if "dagster/row_count" in metadata:
            expected = built_project.query(f"SELECT count(*) FROM {TABLES[name].relation}")
            assert expected == [(metadata["dagster/row_count"].value,)], name
            counted += 1
    assert counted >= 12


def lineage(project: Project, name: str) -> dict[str, set[str]]:
    entry = project.instance.get_latest_materialization_event(AssetKey(name))
    assert entry is not None and entry.asset_materialization is not None
    value = entry.asset_materialization.metadata["dagster/column_lineage"].value
    return {
        column: {f"{dep.asset_key.path[-1]}.{dep.column_name}" for dep in deps}
        for column, deps in value.deps_by_column.items()
    }


@pytest.mark.parametrize(
    "name",
    [
        table.name
        for table in OF_SAMPLE
        if table.group in ("staging", "core", "marts")
        or table.name in ("churn_features", "churn_windows", "churn_outcomes")
    ],
)
def test_every_column_of_a_model_has_a_lineage_that_exists(
    built_project: Project, name: str
) -> None:
    found = lineage(built_project, name)
    assert set(found) == set(TABLES[name].columns)
    for column, parents in found.items():
        for parent in parents:
            table, _, parent_column = parent.partition(".")
            assert parent_column in TABLES[table].columns, (column, parent)


def test_column_lineage_leads_to_the_right_columns(built_project: Project) -> None:
    assert lineage(built_project, "stg_orders")["quantity"] == {"raw_orders.quantity"}
    amounts = ("quantity", "unit_price", "discount", "amount", "amount_is_total")
    assert lineage(built_project, "stg_orders")["extended_amount"] == {
        f"raw_orders.{name}" for name in amounts
    }
    facts = lineage(built_project, "fact_orders")
    assert facts["order_id"] == {"stg_orders.order_id"}
    assert facts["customer_id"] == {"stg_orders.customer_id"}
    days = lineage(built_project, "customer_days")
    assert days["gross_amount"] == {"fact_orders.extended_amount", "fact_orders.line_type"}
    raw = lineage(built_project, "raw_orders")
    assert raw["quantity"] == {"orders_source.quantity"}


# Personal data.


def test_personal_columns_end_with_staging(built_project: Project) -> None:
    personal = {name for table in TABLES.values() for name in table.personal_columns}
    assert {"email", "first_name", "last_name"} <= personal
    with open_build(current_build(built_project.settings.published_dir)) as session:
        columns = session.rows("SELECT DISTINCT column_name FROM duckdb_columns()")
    assert not personal & {name for (name,) in columns}


def test_no_address_of_the_sample_is_in_anything_that_is_written_but_the_source_and_raw(
    built_project: Project, source: Source
) -> None:
    home = built_project.settings.home
    addresses = re.compile(rb"[a-z.]+\d+@example\.(?:com|org|net)")
    assert addresses.fullmatch(source.customers["email"][0].encode())
    assert places_of(addresses, home / "sample")
    assert (
        places_of(addresses, home, apart=(home / "sample", built_project.settings.warehouse_path))
        == []
    )
    with built_project.warehouse.read() as session:
        assert tables_with("@example.", session) == {
            "raw.raw_customers",
            "staging.stg_customers",
        }
    published = current_build(built_project.settings.published_dir)
    with open_build(published) as session:
        assert tables_with("@example.", session) == set()


# What readers get.


def test_every_buyer_has_a_probability(built_project: Project) -> None:
    predictions = built_project.query(
        "SELECT customer_id, churn_probability, snapshot_date FROM churn.churn_predictions"
    )
    buyers = built_project.query(
        "SELECT DISTINCT customer_id FROM core.customer_days "
        "WHERE sale_orders > 0 AND customer_id <> '(unknown)'"
    )
    assert sorted(row[0] for row in predictions) == sorted(row[0] for row in buyers)
    assert all(0 <= row[1] <= 1 for row in predictions)
    assert len({row[1] for row in predictions}) > 10  # a model, not a constant
    assert {row[2] for row in predictions} == {date(2024, 6, 30)}


def test_the_champion_of_the_registry_predicts(built_project: Project) -> None:
    chosen = built_project.query(
        "SELECT model_version, registered_version, decision FROM churn.churn_model WHERE is_chosen"
    )
    assert len(chosen) == 1
    assert chosen[0][1:] == (1, "promoted")
    champion = model_registry(built_project.settings).champion()
    assert champion is not None and champion.model_version == chosen[0][0]
    assert built_project.query("SELECT DISTINCT model_version FROM churn.churn_predictions") == [
        (chosen[0][0],)
    ]


def test_the_published_copy_opens_for_reading_and_holds_what_the_warehouse_holds(
    built_project: Project,
) -> None:
    path = current_build(built_project.settings.published_dir)
    with (
        open_build(path) as published,
        built_project.warehouse.read() as warehouse,
    ):
        groups = published.rows("SELECT DISTINCT schema_name FROM duckdb_tables()")
        assert {name for (name,) in groups} == {"core", "marts", "churn", "quality"}
        for table in OF_SAMPLE:
            if table.group in ("core", "marts", "churn") and not table.is_view:
                assert table_contents(published, table.name) == table_contents(
                    warehouse, table.name
                ), table.name


def test_nothing_is_written_outside_of_the_home(settings: Settings) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in settings.dbt_project_dir.rglob("*")}

    before = files()
    prepare_manifest(settings)
    assert files() == before
