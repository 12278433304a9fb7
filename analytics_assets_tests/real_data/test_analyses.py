"""The analyses of UCI Online Retail, against what pandas makes of the raw rows."""

import pytest

from analytics_assets_tests.analyses import cohorts_oracle, growth_oracle, ltv_oracle
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.real_data.conftest import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


def test_growth(retail: Project) -> None:
    growth_oracle.assert_as_recomputed(retail)


def test_cohorts(retail: Project) -> None:
    cohorts_oracle.assert_as_recomputed(retail)


def test_ltv_curves(retail: Project) -> None:
    ltv_oracle.assert_as_recomputed(retail)
