from analytics_assets_tests.churn.conftest import features, result
from analytics_assets_tests.warehouse.conftest import warehouse

__all__ = ["features", "result", "warehouse"]
