"""The marts on sales and repeat purchase of UCI Online Retail, against pandas."""

import pytest

from analytics_assets_tests.analyses.repeat_oracle import assert_marts
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.real_data.conftest import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


def test_of_online_retail(retail: Project) -> None:
    with retail.warehouse.read() as session:
        assert_marts(session.frame, retail.settings)
