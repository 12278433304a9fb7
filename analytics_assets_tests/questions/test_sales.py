"""Growth of a country is that of the mart, of its customers."""

from datetime import date

import pytest

from analytics_assets.questions.sales import growth_by_month

from ..conftest import Project

pytestmark = pytest.mark.slow
ALWAYS = (date(1970, 1, 1), date(2100, 1, 1))


def test_where_all_are_of_one_country_it_has_the_growth_of_the_mart(
    copied_project: Project,
) -> None:
    with copied_project.warehouse.transaction() as session:
        session.execute("UPDATE core.dim_customers SET country = 'Utopia'")
        whole = growth_by_month(session, *ALWAYS, None)
        assert len(whole) == 6
        assert growth_by_month(session, date(2024, 3, 15), date(2024, 5, 2), None) == whole[2:5]
        # The mart ends with the newest month; of a country, the next one has those who churn.
        of_country = growth_by_month(session, ALWAYS[0], date(2024, 6, 30), "Utopia")
        assert of_country == whole
