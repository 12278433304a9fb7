"""The marts on sales and repeat purchase of UCI Online Retail, against pandas."""

import pytest

from analytics_assets.assets.churn.model import model_registry
from analytics_assets_tests.analyses import explained_oracle as oracle
from analytics_assets_tests.analyses import repeat_oracle
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.real_data.conftest import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


def test_of_online_retail(retail: Project) -> None:
    with retail.warehouse.read() as session:
        lines = oracle.order_lines(session.frame)
        oracle.assert_dimensions(session.frame, lines)
        oracle.assert_bridge(session.frame, lines)
        oracle.assert_concentration(session.frame, lines)
        repeat_oracle.assert_repeats(session.frame, lines)
        repeat_oracle.assert_comebacks(session.frame, lines)
        champion = model_registry(retail.settings).load_good()
        assert champion
        repeat_oracle.assert_next_orders(session.frame, lines, champion[0])
