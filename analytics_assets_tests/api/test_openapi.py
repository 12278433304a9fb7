"""The OpenAPI document: it says what the tables declare, and the API does what it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema.validators import validator_for
from schemathesis.specs.openapi.checks import positive_data_acceptance

from analytics_assets.api.app import create_app
from analytics_assets.api.columns import columns_of, readable_tables
from analytics_assets.api.openapi import document
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.units import unit_of
from analytics_assets.settings import Settings

from .conftest import served

EXAMPLES = 30  # of each operation


def test_every_table_has_its_columns_with_descriptions_units_and_examples() -> None:
    schemas = document()["components"]["schemas"]
    for name, table in readable_tables().items():
        properties = schemas[name]["properties"]
        assert [*properties] == table.columns
        for column in columns_of(table).values():
            described = properties[column.name]
            assert described["description"] == column.description
            assert described.get("x-unit") == unit_of(table, column.name)
            validator = validator_for(described)(described)
            for example in described["examples"]:
                validator.validate(example)
            assert validator.is_valid(None) == column.nullable


def test_every_number_has_a_unit() -> None:
    for table in TABLES.values():
        for name, type_ in table.sql_types.items():
            is_number = type_.startswith(("INT", "BIGINT", "DOUBLE", "DECIMAL"))
            assert (unit_of(table, name) is not None) == is_number, (table.name, name)


@pytest.fixture(scope="module")
def schema(published: Settings) -> Iterator[Any]:
    with served(create_app(published)) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


OPERATIONS = [(path, method) for path, of_path in document()["paths"].items() for method in of_path]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_api_does_what_the_document_says(schema: Any, path: str, method: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(case=schema[path][method].as_strategy())
    def ask(case: Any) -> None:
        # What is the API's to give, nobody can make up: builds that are gone, and cursors.
        own = {"build", "cursor"} & {*(case.query or {})}
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if own else [])

    ask()
