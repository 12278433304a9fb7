"""Cohorts of a country are those of the mart, of its customers."""

from datetime import date

import pytest

from analytics_assets.questions.cohorts import cohorts, curve

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
