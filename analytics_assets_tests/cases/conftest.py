"""The sources of a case are those of the tests of sources, and the warehouse that of dbt."""

from analytics_assets_tests.dbt.conftest import built_warehouse
from analytics_assets_tests.sources.conftest import source

__all__ = ["built_warehouse", "source"]
