"""Metrics of the API for Prometheus, in a registry of their own.

Belongs here: the metrics. Does not belong here: those of runs and tables (`automation.metrics`).
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from analytics_assets.warehouse.builds import Builds
from analytics_assets.warehouse.connection import WarehouseError

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Monitor:
    """Counts requests, and tells the build and its age.

    Args:
        builds: the builds that are served.
        now: the present time, in seconds since 1970.
    """

    def __init__(self, builds: Builds, now: Any) -> None:
        self.registry = CollectorRegistry()
        of: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter(
            "analytics_api_requests", "Requests by route and status", ["route", "status"], **of
        )
        self._seconds = Histogram(
            "analytics_api_seconds", "Seconds of requests", ["route"], buckets=BUCKETS, **of
        )
        self._rows = Counter("analytics_api_rows", "Rows sent", **of)
        self._bytes = Counter("analytics_api_bytes", "Bytes sent", **of)
        self.cancelled = Counter(
            "analytics_api_cancelled_queries", "Queries that took too long", **of
        )
        self.busy = Gauge("analytics_api_requests_in_progress", "Requests in progress", **of)
        self._labelled: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._builds, self._now = builds, now
        self.registry.register(self)

    def count(self, route: str, status: int, seconds: float, rows: int, size: int) -> None:
        """Count a request that has been answered."""
        # A route is a template of ours, so there are few of them.
        if (found := self._labelled.get((route, status))) is None:
            found = (self._requests.labels(route, str(status)), self._seconds.labels(route))
            self._labelled[route, status] = found
        found[0].inc()
        found[1].observe(seconds)
        self._rows.inc(rows)
        self._bytes.inc(size)

    def collect(self) -> Iterable[Metric]:
        """The build, at the time of the scrape."""
        yield GaugeMetricFamily(
            "analytics_api_open_builds", "Builds that are open", self._builds.open_builds
        )
        try:
            with self._builds.use() as build:
                number, published_at = int(build.name), build.published_at
        except WarehouseError:
            return
        yield GaugeMetricFamily("analytics_api_build", "Number of the current build", number)
        yield GaugeMetricFamily(
            "analytics_api_build_age_seconds",
            "Age of the current build",
            self._now() - published_at,
        )

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not open a build."""
        return []

    def text(self) -> bytes:
        """All metrics as Prometheus reads them."""
        return generate_latest(self.registry)
