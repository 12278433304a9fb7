"""The sources of a case are those of the tests of sources."""

from analytics_assets_tests.sources.conftest import source

__all__ = ["source"]
