"""Questions: each answer has the figures that SQL gives, and scores those of the champion."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from analytics_assets.api.app import create_app
from analytics_assets.api.scoring import feature_columns
from analytics_assets.churn.registry import Registry
from analytics_assets.settings import Settings

from ..conftest import Project

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def reader(published: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(published), "http://localhost") as client:
        yield client


def test_a_customer_is_their_rows(reader: TestClient, build_rows: Query) -> None:
    for number in range(0, 300, 37):
        name = f"C{number:06d}"
        found = reader.get(f"/v1/customers/{name}").json()
        row = reader.get(f"/v1/tables/user_analytics?customer_id={name}").json()["rows"][0]
        assert found["snapshot"] == row
        (scored,) = reader.get(
            f"/v1/tables/churn_predictions?customer_id={name}&snapshot_date=2024-01-03"
        ).json()["rows"]
        prediction = found["prediction"]
        reasons = [
            {"feature": scored.pop(f"reason_{n}"), "push": scored.pop(f"push_{n}")}
            for n in (1, 2, 3)
        ]
        assert prediction.pop("reasons") == [r for r in reasons if r["feature"] is not None]
        assert prediction == scored
        months = reader.get(f"/v1/tables/customer_sales?customer_id={name}").json()["rows"]
        assert [{"customer_id": name, **month} for month in found["months"]] == months
        assert len(months) == 4
        assert [(s["day"], s["segment"]) for s in found["segments"]] == [
            (str(day), segment)
            for day, segment in build_rows(
                "SELECT snapshot_date, segment FROM marts.customer_analytics_daily "
                f"WHERE customer_id = '{name}' AND snapshot_date = DATE '2024-01-03'"
            )
        ]


def test_segments_are_those_of_month_ends_where_they_change(
    home: Settings, client: TestClient
) -> None:
    from analytics_assets.warehouse.connection import Warehouse
    from analytics_assets.warehouse.publish import publish

    warehouse = Warehouse(home.warehouse_path)
    segments = {
        "2024-01-30": "Lost",
        "2024-01-31": "Loyal",
        "2024-02-28": "Lost",
        "2024-02-29": "Loyal",
        "2024-03-31": "At Risk",
        "2024-04-29": "Loyal",
        "2024-04-30": "Champion",  # the newest day
    }
    relation = "marts.customer_analytics_daily"
    with warehouse.transaction() as session:
        session.execute(
            f"CREATE TEMP TABLE one AS FROM {relation} WHERE customer_id = 'C000007' LIMIT 1"
        )
        session.execute(f"DELETE FROM {relation}")
        for day, segment in segments.items():
            session.execute(
                f"INSERT INTO {relation} SELECT * REPLACE (?::DATE AS snapshot_date, "
                "? AS segment) FROM one",
                [day, segment],
            )
    publish(warehouse, home.published_dir, 3)
    assert client.get("/v1/customers/C000007").json()["segments"] == [
        {"day": "2024-01-31", "segment": "Loyal"},
        {"day": "2024-03-31", "segment": "At Risk"},
        {"day": "2024-04-30", "segment": "Champion"},
    ]
    assert client.get("/v1/customers/C000008").json()["segments"] == []


def test_an_id_with_a_slash_is_an_id(home: Settings, client: TestClient) -> None:
    from analytics_assets.warehouse.connection import Warehouse
    from analytics_assets.warehouse.publish import publish

    warehouse = Warehouse(home.warehouse_path)
    with warehouse.transaction() as session:
        for table in ("user_analytics", "dim_customers"):
            relation = f"{'marts' if table[0] == 'u' else 'core'}.{table}"
            session.execute(
                f"UPDATE {relation} SET customer_id = 'a/b ü?' WHERE customer_id = 'C000001'"
            )
    publish(warehouse, home.published_dir, 3)
    found = client.get("/v1/customers/a%2Fb%20%C3%BC%3F")
    assert found.json()["customer_id"] == "a/b ü?"
    rows = client.get("/v1/tables/user_analytics", params={"customer_id": "a/b ü?"}).json()["rows"]
    assert rows == [found.json()["snapshot"]]


def test_cohorts_are_the_rows_of_their_table(reader: TestClient) -> None:
    rows = reader.get("/v1/tables/customer_cohort_analysis?limit=1000").json()["rows"]
    found = [
        {
            "cohort_month": cohort["cohort_month"],
            "customers_in_cohort": cohort["customers_in_cohort"],
            **month,
        }
        for cohort in reader.get("/v1/cohorts").json()["cohorts"]
        for month in cohort["months"]
    ]
    assert found == [{name: row[name] for name in found[0]} for row in rows]
    assert {*found[0]} == {*rows[0]}


def test_the_summary_has_the_figures_of_the_tables(reader: TestClient, build_rows: Query) -> None:
    found = reader.get("/v1/summary").json()
    assert found["customers"]["known"] == 300
    assert {(s["segment"], s["customers"]) for s in found["customers"]["segments"]} == {
        *build_rows("SELECT segment, count(*) FROM marts.user_analytics GROUP BY 1")
    }
    newest, before = found["sales"]
    for part in (newest, before):
        (row,) = build_rows(
            "SELECT sum(gross_amount)::VARCHAR, sum(returned_amount)::VARCHAR, "
            "sum(net_amount)::VARCHAR, count(*), count(margin_amount) FROM marts.sales_daily "
            f"WHERE order_date BETWEEN '{part['since']}' AND '{part['until']}'"
        )
        assert [part["gross_amount"], part["returned_amount"], part["net_amount"]] == [*row[:3]]
        assert row[3] == 30
        assert (part["margin_amount"] is None) == (row[3] > row[4])
    assert [(str(newest["until"]),)] == [
        (str(day),) for (day,) in build_rows("SELECT max(order_date) FROM marts.sales_daily")
    ]
    assert sum(band["customers"] for band in found["churn"]["bands"]) == 300
    assert len(found["quality"]) == 200


def test_contracts_are_the_rows_of_their_table(reader: TestClient) -> None:
    rows = reader.get("/v1/tables/churn_by_contract").json()["rows"]
    assert reader.get("/v1/churn/by-contract").json()["contracts"] == rows


@pytest.mark.slow
def test_what_nothing_supplies_says_so(built_project: Project) -> None:
    """The sample has no subscribers."""
    with TestClient(create_app(built_project.settings), "http://localhost") as client:
        answer = client.get("/v1/churn/by-contract")
    assert answer.status_code == 404
    assert "nothing supplies it" in answer.json()["detail"]


def test_quality_is_a_history(reader: TestClient, build_rows: Query) -> None:
    found = reader.get("/v1/quality").json()
    assert found["until"] == "2024-07-18"
    assert found["since"] == "2024-06-19"
    assert len(found["scores"]) == 30
    some = reader.get("/v1/quality?since=2024-01-01&until=2024-02-15").json()
    assert [(s["asset"], s["day"]) for s in some["scores"]] == [
        (asset, str(day))
        for asset, day in build_rows(
            "SELECT asset, day FROM quality.data_quality_scores WHERE day <= '2024-02-15' "
            "ORDER BY day, asset"
        )
    ]
    assert (
        len(some["checks"])
        == build_rows(
            "SELECT count(*) FROM quality.data_quality_metrics WHERE "
            "coalesce(day, evaluated_at::DATE) BETWEEN '2024-01-01' AND '2024-02-15'"
        )[0][0]
    )
    none = reader.get("/v1/quality?asset=dim_date").json()
    assert none["scores"] == none["checks"] == []


@pytest.mark.slow
def test_a_posted_record_has_the_score_of_the_champion(built_project: Project) -> None:
    """The features of the newest snapshot give the scores of the build."""
    settings = built_project.settings
    champion = Registry(settings.mlflow_dir, settings.mlflow_uri, settings.mlflow_model).champion()
    assert champion
    with TestClient(create_app(settings), "http://localhost") as client:
        rows = client.get("/v1/tables/user_analytics?limit=50&sale_orders__gt=0").json()["rows"]
        decimals = {name for name, c in feature_columns().items() if c.kind == "decimal"}
        records = [
            {
                name: float(row[name]) if name in decimals and row[name] else row[name]
                for name in feature_columns()
            }
            for row in rows
        ]
        answer = client.post("/v1/predictions", json={"records": records})
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["version"] == champion.number
        assert answer.json()["model"]["model_version"] == champion.model_version
        for row, found in zip(rows, answer.json()["predictions"], strict=True):
            kept = client.get(f"/v1/customers/{row['customer_id']}").json()["prediction"]
            assert found["churn_probability"] == pytest.approx(kept["churn_probability"], abs=1e-9)
            assert found["risk_band"] == kept["risk_band"]
            assert [r["feature"] for r in found["reasons"]] == [
                r["feature"] for r in kept["reasons"]
            ]

        def refused(**changed: Any) -> str:
            record = {**records[0], **changed}
            record = {name: value for name, value in record.items() if value != "left out"}
            answer = client.post("/v1/predictions", json={"records": [records[1], record]})
            assert answer.status_code == 422, answer.text
            detail: str = answer.json()["detail"]
            assert "ecord 1" in detail
            return detail

        assert "lacks sale_orders" in refused(sale_orders="left out")
        assert "features that there are not" in refused(email="a@b.c")
        assert "finite number" in refused(sale_orders="5")
        assert "finite number" in refused(sale_orders=True)
        assert "finite number" in refused(sale_orders=[1])
        assert "may not be null" in refused(sale_orders=None)
        assert "out of its range, 0 to 1" in refused(return_share=1.5)
        assert "out of its range, 1 to any" in refused(days_since_last_order=0)
        unknown = client.post(
            "/v1/predictions",
            content=b'{"records": [{"a": 1e999}]}',
            headers={"Content-Type": "application/json"},
        )
        assert unknown.status_code in (400, 422)
