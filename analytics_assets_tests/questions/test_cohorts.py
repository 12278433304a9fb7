"""Cohorts of a country are those of the mart, of its customers."""

from datetime import date

import pytest

from analytics_assets.questions.cohorts import cohorts, curve, dimensions, retention_by

from ..conftest import Project

pytestmark = pytest.mark.slow
ALWAYS = (date(1970, 1, 1), date(2100, 1, 1))


def test_where_all_are_of_one_country_it_has_the_cohorts_of_the_mart(
    copied_project: Project,
) -> None:
    with copied_project.warehouse.transaction() as session:
        session.execute("UPDATE core.dim_customers SET country = 'Utopia'")
        whole = cohorts(session, *ALWAYS, None)
        assert len(whole) > 10
        assert cohorts(session, *ALWAYS, "Utopia") == whole
        assert curve(session, *ALWAYS, "Utopia") == curve(session, *ALWAYS, None)
        # Half of them are of another country: the two add up.
        session.execute(
            "UPDATE core.dim_customers SET country = 'Erewhon' WHERE hash(customer_id) % 2 = 0"
        )
        parts = [cohorts(session, *ALWAYS, country) for country in ("Utopia", "Erewhon")]
        for name in ("customers_active", "cohort_revenue"):
            assert sum(row[name] for part in parts for row in part) == sum(
                row[name] for row in whole
            )


def test_the_values_of_a_dimension_are_the_cohorts_of_the_mart(copied_project: Project) -> None:
    with copied_project.warehouse.read() as session:
        assert dimensions(session) == sorted(
            ("category", "product", "country", "channel", "coupon", "discounted", "price_band")
        )
        whole = {row["month_number"]: row for row in curve(session, *ALWAYS, None)}
        # All of them are in one of the three bands.
        bands = retention_by(session, *ALWAYS, "price_band")
        assert {row["value"] for row in bands} == {"low", "medium", "high"}
        for number, expected in whole.items():
            of_month = [row for row in bands if row["month_number"] == number]
            for name in ("customers_active", "customers_in_cohort"):
                assert sum(row[name] for row in of_month) == expected[name], number
        assert len({row["value"] for row in retention_by(session, *ALWAYS, "product")}) == 6
        newest = retention_by(session, date(2024, 6, 1), date(2024, 6, 30), "price_band")
        assert {row["month_number"] for row in newest} == {0}
