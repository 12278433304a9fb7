from analytics_assets_tests.checks.conftest import warehouse

__all__ = ["warehouse"]
