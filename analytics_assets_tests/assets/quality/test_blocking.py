"""A failed test of dbt stops its run, says what is wrong, and holds back what comes in later runs.

That of a failed check in Python is in `test_schema` (its run) and `assets.test_serving` (later
ones).
"""

from typing import Any

import pytest
from dagster import AssetCheckSeverity, AssetsDefinition, materialize

from analytics_assets.assets.dbt.command import DbtCommand
from analytics_assets.assets.quality.blocking import FailedCheck, failed_now
from analytics_assets_tests.conftest import Project

pytestmark = pytest.mark.slow


def made(project: Project, name: str) -> AssetsDefinition:
    """What makes some of the assets, by the name of its step."""
    (found,) = (
        one
        for one in project.definitions().assets or []
        if isinstance(one, AssetsDefinition) and one.is_executable and one.node_def.name == name
    )
    return found


def run(project: Project, step: str, **arguments: Any) -> Any:
    return materialize(
        [made(project, step)],
        instance=project.instance,
        resources={"warehouse": project.warehouse, "dbt": DbtCommand(project.settings)},
        raise_on_error=False,
        **arguments,
    )


def test_a_failed_test_of_dbt_blocks_in_its_run_and_in_later_ones(copied_project: Project) -> None:
    project = copied_project
    day, order = project.query(
        "SELECT order_date, order_id FROM raw.raw_orders ORDER BY order_date DESC, order_id LIMIT 1"
    )[0]
    with project.warehouse.write() as session:
        session.execute(
            "UPDATE raw.raw_orders SET customer_id = 'nobody' WHERE order_id = ?", [order]
        )
    result = run(
        project,
        "dbt_models",
        selection=["fact_orders"],
        partition_key=str(day),
    )
    assert not result.success
    evaluations = {e.check_name: e for e in result.get_asset_check_evaluations()}
    failed = evaluations["fact_orders_customer_id_member"]
    assert (failed.passed, failed.severity) == (False, AssetCheckSeverity.ERROR)
    told = {name: value.value for name, value in failed.metadata.items()}
    assert (told["family"], told["failing rows"], told["by day"][str(day)][1]) == (
        "dbt",
        len(told["keys"]),
        len(told["keys"]),
    )
    assert {key["order_id"] for key in told["keys"]} == {order}
    assert "customer_id not in" in told["query"]
    assert told["remedy"]
    assert evaluations["fact_orders_product_id_member"].passed
    assert (
        evaluations["fact_orders_product_id_member"].metadata["rows checked"].value
        == told["rows checked"]
    )
    check = FailedCheck("fact_orders", "fact_orders_customer_id_member", (day,))
    assert failed_now(project.instance, project.warehouse, {"core"}) == [check]

    assert run(project, "quality_ledgers").success
    published = run(project, "published_warehouse")
    (failure,) = published.get_step_failure_events()
    said = str(failure.event_specific_data)
    assert "the last build stays" in said
    assert str(check) in said
