from analytics_assets_tests.churn.conftest import features, result

__all__ = ["features", "result"]
