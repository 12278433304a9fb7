"""The tables that dbt builds: types, sums, scores, features, and configurations without sources."""

import math
import re
from datetime import date

import duckdb
import pytest

from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS

from .conftest import DBT_TABLES, PROJECT, SPAN, Warehouse, failures

OPTIONAL = [
    *("stg_customers", "stg_products", "stg_user_sessions", "fact_user_sessions"),
    "session_corrections",
    *("stg_support_tickets", "fact_support_tickets", "ticket_corrections"),
]

pytestmark = pytest.mark.slow


def declared_types() -> dict[str, dict[str, str]]:
    """DuckDB's own names of the declared types, by relation."""
    with duckdb.connect() as connection:
        for group in {table.group for table in DBT_TABLES}:
            connection.execute(f"CREATE SCHEMA {group}")
        for table in DBT_TABLES:
            connection.execute(table.ddl)
        return {
            t.relation: {
                r[0]: r[1] for r in connection.execute(f"describe {t.relation}").fetchall()
            }
            for t in DBT_TABLES
        }


def assert_types(warehouse: Warehouse) -> None:
    for relation, types in declared_types().items():
        built = warehouse.types(relation)
        assert list(built.items()) == list(types.items()), relation


def test_types_are_the_declared_ones(built_warehouse: Warehouse) -> None:
    assert_types(built_warehouse)


def test_without_a_row_every_table_exists_with_its_types(empty_warehouse: Warehouse) -> None:
    empty_warehouse.built("build", "--exclude-resource-type", "unit_test", window=SPAN)
    assert_types(empty_warehouse)
    filled = {t.name for t in DBT_TABLES if empty_warehouse.query(f"from {t.relation} limit 1")}
    assert filled == {"dim_customers", "dim_products"}  # the unknown members


def test_unit_tests_of_dbt(built_warehouse: Warehouse) -> None:
    result = built_warehouse.dbt("test", "--select", "test_type:unit")
    assert result.success, failures(result)
    assert len(result.result.results) == 30


def test_rows_add_up(built_warehouse: Warehouse) -> None:
    for raw, stg, fact in [
        ("raw_orders", "stg_orders", "fact_orders"),
        ("raw_user_sessions", "stg_user_sessions", "fact_user_sessions"),
        ("raw_support_tickets", "stg_support_tickets", "fact_support_tickets"),
    ]:
        ((accepted, staged, copies, facts),) = built_warehouse.query(f"""
            select (select count(*) from raw.{raw}), count(*), sum(copies),
                (select count(*) from core.{fact})
            from staging.{stg}""")
        assert accepted == copies
        assert staged == facts
        assert raw == "raw_user_sessions" or accepted > staged


def test_members(built_warehouse: Warehouse) -> None:
    types = "select member_type, count(*) from core.dim_{} group by all order by all"
    assert built_warehouse.query(types.format("customers")) == [
        ("inferred", 9),  # C18 to C26, of which four only by a session
        ("source", 18),
        ("unknown", 1),
    ]
    assert built_warehouse.query(types.format("products")) == [
        ("inferred", 3),
        ("source", 6),
        ("unknown", 1),
    ]


def test_scores_are_average_rank_percentiles(built_warehouse: Warehouse) -> None:
    with duckdb.connect(str(built_warehouse.path), read_only=True) as connection:
        frame = connection.execute("""
            select * from marts.customer_analytics_daily
            where snapshot_date = date '2024-01-20' and sale_orders > 0""").df()
    assert len(frame) > 10
    for score, value, ascending in [
        ("r_score", "days_since_last_order", False),
        ("f_score", "sale_orders", True),
        ("m_score", "net_amount", True),
    ]:
        ranks = frame[value].rank(method="average", ascending=ascending)
        expected = [math.ceil(round(rank * 5 / len(frame), 9)) for rank in ranks]
        assert frame[score].tolist() == expected, score


def test_training_and_scoring_see_the_same_features(built_warehouse: Warehouse) -> None:
    columns = ", ".join(("as_of", "customer_id", *FEATURE_COLUMNS))
    training = built_warehouse.query(f"select {columns} from churn.churn_features order by all")
    assert {row[0].isoformat() for row in training} == {"2024-02-01", "2024-03-01"}
    scoring = built_warehouse.query(f"""
        select {columns} from marts.customer_analytics_daily
        where day(as_of) = 1 and month(as_of) > 1 and sale_orders > 0 order by all""")
    assert training == scoring


def test_label_closes_with_the_horizon(warehouse: Warehouse) -> None:
    labels = "select distinct month, label_window_closed from churn.churn_features order by all"
    january, february = date(2024, 1, 1), date(2024, 2, 1)
    assert warehouse.query(labels) == [(january, False), (february, False)]
    warehouse.execute("""
        insert into raw.source_loads
        select 'orders', date '2024-04-30', 'v1', 0, 0, 0, 0, 0, loaded, loaded
        from (select timestamp '2024-05-01' as loaded)""")
    warehouse.built("run", "--select", "churn_features", window=SPAN)
    # As of 1 February the horizon of 90 days ends on 1 May.
    assert warehouse.query(labels) == [(january, True), (february, False)]
    ((wrong,),) = warehouse.query("""
        select count(*) from churn.churn_features as features
        where churned is distinct from case when label_window_closed then not exists (
            from core.customer_days as days
            where days.customer_id = features.customer_id and sale_orders > 0
                and order_date >= as_of and order_date < as_of + 90) end""")
    assert wrong == 0


def test_optional_sources_are_empty_tables_and_become_views(empty_warehouse: Warehouse) -> None:
    empty_warehouse.create(
        "insert into raw.source_loads by name select 'orders' as source, "
        "date '2024-01-01' as window_date",
        """insert into raw.raw_orders by name select
            'O1' as order_id, date '2024-01-01' as order_date, order_date as ordered_at,
            'C1' as customer_id, 1 as quantity, 2 as unit_price, 'a' as source_file,
            1 as source_row, order_date as loaded_at""",
        *(TABLES[name].ddl for name in OPTIONAL),
    )
    day = ("2024-01-01", "2024-01-02")
    arguments = ("--exclude-resource-type", "unit_test", "--exclude")
    empty_warehouse.built("build", *arguments, *OPTIONAL, window=day)
    members = "select member_type from core.dim_customers order by all"
    assert empty_warehouse.query(members) == [("inferred",), ("unknown",)]

    empty_warehouse.execute("""insert into raw.raw_customers by name select 'C1' as customer_id,
        'a' as source_file, 1 as source_row, timestamp '2024-01-02' as loaded_at""")
    empty_warehouse.built("build", "--exclude-resource-type", "unit_test", window=day)
    assert empty_warehouse.query(members) == [("source",), ("unknown",)]
    assert_types(empty_warehouse)


def test_a_day_of_orders_prunes_the_scan(built_warehouse: Warehouse) -> None:
    for view, column in [
        *(("stg_orders", "order_date"), ("stg_user_sessions", "session_date")),
        ("stg_support_tickets", "ticket_date"),
    ]:
        ((_, plan),) = built_warehouse.query(f"""
            explain (format json) select * from staging.{view}
            where {column} >= date '2024-01-05' and {column} < date '2024-01-06'""")
        scans = re.split(r'"name": "SEQ_SCAN[^"]*"', plan)[1:]
        assert scans, plan
        assert all(re.search(rf'"Filters": [^\]]*{column} >=', scan) for scan in scans), plan


def test_personal_values_stay_in_staging(built_warehouse: Warehouse) -> None:
    for table in DBT_TABLES:
        ((found,),) = built_warehouse.query(f"""
            select count(*) from {table.relation} as t where contains(cast(t as varchar), 'ecret')
        """)
        assert (found > 0) == (table.name == "stg_customers"), table.name


def test_thresholds_are_named_in_one_place() -> None:
    """No rule reads a threshold that dbt_project.yml does not name, and none is left over."""
    declared = set(
        re.findall(r"^  (\w+): [\d.]+$", (PROJECT / "dbt_project.yml").read_text(), re.M)
    )
    text = "".join(path.read_text() for path in PROJECT.glob("m*s/**/*.sql"))
    assert set(re.findall(r"var\('(\w+)'\)", text)) == declared
