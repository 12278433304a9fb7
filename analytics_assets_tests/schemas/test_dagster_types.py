"""What Dagster is told of a table: columns for the metadata, structure for frames in memory."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from dagster import check_dagster_type

from analytics_assets.schemas import TABLES
from analytics_assets.schemas.dagster_types import (
    column_schema,
    dagster_type,
    structure_problems,
)
from analytics_assets_tests.rows import default

PREDICTIONS = TABLES["churn_predictions"]


def frame(name: str, **values: Any) -> pd.DataFrame:
    """Two rows of a table."""
    columns = TABLES[name].schema.columns
    row = {column: default(declared) for column, declared in columns.items()}
    return pd.DataFrame({column: [value] * 2 for column, value in row.items()}).assign(**values)


def test_the_column_schema_says_what_the_model_says() -> None:
    columns = {column.name: column for column in column_schema(TABLES["raw_customers"]).columns}
    assert list(columns) == TABLES["raw_customers"].columns
    email, customer = columns["email"], columns["customer_id"]
    assert (email.type, email.description) == ("TEXT", "E-mail address")
    assert (email.constraints.nullable, customer.constraints.nullable) == (True, False)
    assert {name for name, column in columns.items() if "personal" in column.tags} == {
        "email",
        "first_name",
        "last_name",
    }


def test_only_a_key_of_one_column_is_unique() -> None:
    def unique(name: str) -> list[str]:
        columns = column_schema(TABLES[name]).columns
        return [column.name for column in columns if column.constraints.unique]

    assert unique("dim_customers") == ["customer_id"]
    assert unique("fact_orders") == []


def test_value_rules_are_constraints_in_words() -> None:
    columns = {column.name: column for column in column_schema(PREDICTIONS).columns}
    assert columns["churn_probability"].constraints.other == ["in_range(0, 1)"]
    assert columns["risk_band"].constraints.other == ["isin(('Low', 'Medium', 'High'))"]
    assert columns["model_version"].constraints.other == []


@pytest.mark.parametrize("name", TABLES)
def test_a_frame_of_any_table_is_one(name: str) -> None:
    assert structure_problems(TABLES[name], frame(name)) == []
    assert structure_problems(TABLES[name], frame(name).iloc[:0]) == []


@pytest.mark.parametrize("value", [None, [], "frame", {"a": [1]}])
def test_what_is_no_frame_is_a_problem(value: object) -> None:
    assert structure_problems(PREDICTIONS, value) == [
        f"churn_predictions: expected a pandas DataFrame, got {type(value).__name__}"
    ]


def test_missing_unknown_and_doubled_columns_are_problems() -> None:
    good = frame("churn_predictions")
    wrong = good.drop(columns=["as_of", "risk_band"]).assign(extra=1)
    assert structure_problems(PREDICTIONS, wrong) == [
        "churn_predictions: columns missing: as_of, risk_band",
        "churn_predictions: columns not in the table: extra",
    ]
    doubled = pd.concat([good, good[["as_of"]]], axis=1)
    assert structure_problems(PREDICTIONS, doubled) == [
        "churn_predictions: columns that appear twice: as_of"
    ]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("churn_predictions", "model_version", 7),
        ("churn_predictions", "churn_probability", "0.5"),
        ("churn_predictions", "churn_probability", True),
        ("churn_predictions", "as_of", "2024-01-10"),
        ("churn_predictions", "as_of", 20240110),
        ("churn_model", "train_rows", 2.7),
        ("churn_model", "train_rows", "2"),
        ("churn_model", "train_rows", True),
        ("churn_model", "is_chosen", 1),
        ("churn_model", "is_chosen", "true"),
        ("raw_products", "list_price", "3.50"),
        ("raw_products", "updated_at", "2024-01-10 10:00:00"),
    ],
)
def test_a_value_of_another_kind_is_a_problem(table: str, column: str, value: Any) -> None:
    wrong = frame(table, **{column: value})
    (problem,) = structure_problems(TABLES[table], wrong)
    assert problem.startswith(f"{table}.{column}: dtype ")
    assert problem.endswith(f"is no {TABLES[table].sql_types[column]}")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("churn_predictions", "churn_probability", 1),
        ("churn_predictions", "as_of", pd.Timestamp("2024-01-10")),
        ("churn_predictions", "as_of", date(2024, 1, 10)),
        ("raw_products", "updated_at", datetime(2024, 1, 10, 10)),
        ("raw_products", "list_price", Decimal("3.5000")),
        ("raw_products", "list_price", 3.5),
        ("raw_products", "list_price", None),
    ],
)
def test_a_value_that_the_column_can_hold_is_none(table: str, column: str, value: Any) -> None:
    assert structure_problems(TABLES[table], frame(table, **{column: value})) == []


def test_missing_values_among_others_are_no_problem() -> None:
    values = {
        "first_order_date": [date(2024, 1, 1), None],
        "r_score": pd.array([1, None], dtype="Int64"),
        "rfm": ["545", None],
        "return_share": [0.5, None],
    }
    wrong = frame("user_analytics", **values)
    assert structure_problems(TABLES["user_analytics"], wrong) == []


def test_the_dagster_type_fails_with_the_problems_and_no_value() -> None:
    kind = dagster_type(PREDICTIONS)
    assert check_dagster_type(kind, frame("churn_predictions")).success
    wrong = frame("churn_predictions", churn_probability="canary", risk_band=3)
    result = check_dagster_type(kind, wrong)
    assert not result.success
    assert result.description is not None
    assert result.description.count(";") == 1
    assert "canary" not in result.description
    summary = PREDICTIONS.description.splitlines()[0]
    assert (kind.display_name, kind.description) == ("ChurnPredictions", summary)
