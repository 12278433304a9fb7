"""How a table is declared: types, registry, and the traps of Pandera's pushed-down checks."""

from collections.abc import Iterator

import duckdb
import ibis
import pytest
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

from analytics_assets.schemas import TABLES
from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    PERSONAL,
    QUASI_IDENTIFYING,
    BigInt,
    Boolean,
    Date,
    Double,
    Integer,
    Money,
    TableModel,
    Text,
    Timestamp,
    column,
    table,
)
from analytics_assets_tests.rows import insert


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    before = dict(TABLES)
    yield
    TABLES.clear()
    TABLES.update(before)


class Everything(TableModel):
    """One column
    of each type.

        And more.
    """

    text: Text = column("Text")
    integer: Integer = column("Integer", ge=1)
    big: BigInt = column("Big")
    double: Double = column("Double", nullable=True)
    flag: Boolean = column("Flag")
    day: Date = column("Day")
    at: Timestamp = column("At")
    money: Money = column("Money", person=PERSONAL)


def test_each_type_has_its_duckdb_type() -> None:
    table(group="raw", key=("text",))(Everything)
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(TABLES["everything"].ddl)
        described = connection.execute("DESCRIBE raw.everything").fetchall()
    assert [(row[0], row[1]) for row in described] == [
        ("text", "VARCHAR"),
        ("integer", "INTEGER"),
        ("big", "BIGINT"),
        ("double", "DOUBLE"),
        ("flag", "BOOLEAN"),
        ("day", "DATE"),
        ("at", "TIMESTAMP"),
        ("money", "DECIMAL(18,4)"),
    ]


def test_a_declared_table_knows_its_name_place_and_words() -> None:
    table(group="raw", key=("text",))(Everything)
    declared = TABLES["everything"]
    assert declared.relation == "raw.everything"
    assert declared.summary == "One column of each type."
    assert declared.description == "One column\nof each type.\n\n    And more."
    assert declared.personal_columns == ["money"]
    assert declared.columns[:3] == ["text", "integer", "big"]


@pytest.mark.parametrize("name", TABLES)
def test_the_ddl_of_every_table_makes_it_and_makes_it_once(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    connection.execute(f"CREATE SCHEMA {TABLES[name].group}")
    for _ in range(2):
        connection.execute(TABLES[name].ddl)
    assert connection.execute("SELECT count(*) FROM duckdb_constraints()").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (0,)


@pytest.mark.parametrize("name", TABLES)
def test_keys_window_columns_and_volatile_columns_are_columns(name: str) -> None:
    declared = TABLES[name]
    named = {*declared.key, *declared.volatile, *filter(None, [declared.window_column])}
    assert named <= set(declared.columns)
    if declared.window_column:
        assert declared.sql_types[declared.window_column] == "DATE"
        assert not declared.schema.columns[declared.window_column].nullable


def test_the_registry_refuses_a_name_twice() -> None:
    table(group="raw", key=("text",))(Everything)
    with pytest.raises(ValueError, match="table everything is declared twice"):
        table(group="core", key=("day",))(Everything)
    assert TABLES["everything"].group == "raw"


@pytest.mark.parametrize("wrong", [{"window_column": "day"}, {"partitioning": "daily"}])
def test_a_window_column_and_a_partitioning_come_together(wrong: dict) -> None:
    with pytest.raises(ValueError, match="needs a window column, and only a partitioned one"):
        table(group="raw", key=("text",), **wrong)


@pytest.fixture
def products() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty raw_products, with value rules."""
    with duckdb.connect() as connection:
        insert(connection, "raw_products")
        yield connection


def problems(connection: duckdb.DuckDBPyConnection, depth: ValidationDepth | None) -> str:
    """What Pandera itself says of raw_products at a validation depth."""
    relation = ibis.duckdb.from_connection(connection).table("raw_products", database="raw")
    try:
        with config_context(validation_depth=depth):
            TABLES["raw_products"].schema.validate(relation, lazy=True)
    except SchemaErrors as errors:
        return str(errors)
    return ""


def test_upstream_pandera_skips_value_checks_on_lazy_frames_unless_told(
    products: duckdb.DuckDBPyConnection,
) -> None:
    insert(products, "raw_products", {"list_price": -1})
    assert not problems(products, ValidationDepth.SCHEMA_ONLY)
    assert "list_price" in problems(products, ValidationDepth.SCHEMA_AND_DATA)


def test_upstream_pandera_puts_row_values_into_its_messages(
    products: duckdb.DuckDBPyConnection,
) -> None:
    """The reason why checks make their messages themselves."""
    insert(products, "raw_products", {"list_price": -4711})
    assert "-4711" in problems(products, ValidationDepth.SCHEMA_AND_DATA)


def test_upstream_pandera_reports_nulls_in_an_empty_relation(
    products: duckdb.DuckDBPyConnection,
) -> None:
    """The reason why checks leave nulls out where there are no rows."""
    assert "not_nullable" in problems(products, ValidationDepth.SCHEMA_AND_DATA)


def test_upstream_ibis_sql_needs_a_method_that_duckdb_2_removed() -> None:
    """The reason to use `.table()` where `.sql()` would do."""
    with duckdb.connect() as connection:
        backend = ibis.duckdb.from_connection(connection)
        with pytest.raises(AttributeError, match="fetch_arrow_table"):
            backend.sql("SELECT 1 AS one")


@pytest.mark.parametrize("name", TABLES)
def test_a_column_says_the_same_of_a_person_in_every_table(name: str) -> None:
    expected = {
        **dict.fromkeys(("customer_id", "visitor"), CUSTOMER_KEY),
        **dict.fromkeys(("email", "first_name", "last_name", "user_agent", "row"), PERSONAL),
        **dict.fromkeys(("properties", "unknown_fields"), PERSONAL),
        **dict.fromkeys(("order_id", "session_id", "ticket_id", "event_id"), QUASI_IDENTIFYING),
        **dict.fromkeys(("city", "registered_at", "page_url", "attributes"), QUASI_IDENTIFYING),
    }
    declared = TABLES[name]
    classes = {column: declared.person_classes.get(column) for column in declared.columns}
    assert {c: of for c, of in classes.items() if c in expected} == {
        c: expected[c] for c in classes if c in expected
    }
    # An order may come from another country than its customer.
    assert {c for c, of in classes.items() if of} - expected.keys() <= {"country"}
