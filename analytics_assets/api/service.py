"""What all requests share: builds, keys, limits, logs.

Belongs here: making and closing these once for an API. Does not belong here: any one answer.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analytics_assets.api.access import NOBODY, Caller
from analytics_assets.api.audit import AuditLog
from analytics_assets.api.champion import Champion
from analytics_assets.api.cursors import Cursors, secret_of
from analytics_assets.api.kept import Kept
from analytics_assets.api.keys import Keys
from analytics_assets.api.limits import Queries, RateLimit
from analytics_assets.api.monitor import Monitor
from analytics_assets.api.tokens import Tokens
from analytics_assets.settings import Settings
from analytics_assets.streaming.live_now import LiveReader
from analytics_assets.warehouse.builds import Builds

AT_ONCE = 4  # queries
MOST_KEPT = 16_000_000  # bytes of answers


@dataclass
class Record:
    """What is written of a request when it has been answered.

    Attributes:
        caller: who asks.
        build: number of the build that answered.
        table: the table that was read.
        columns: its columns in the answer.
        filters: column, operator and, unless it is personal, value of each filter.
        rows: number of rows in the answer.
    """

    caller: Caller = NOBODY
    build: str | None = None
    table: str | None = None
    columns: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    rows: int = 0


class Service:
    """Everything that an API needs, for given settings.

    Args:
        settings: the settings.
        loopback: whether it listens on the loopback alone: without keys, only then it answers.
    """

    def __init__(self, settings: Settings, loopback: bool) -> None:
        folder = api_folder(settings)
        self.settings, self.loopback = settings, loopback
        self.keys = Keys(folder)
        self.tokens = tokens_of(settings)
        self.cursors = Cursors(secret_of(folder))
        self.builds = Builds(settings.published_dir, settings.api_memory, settings.threads)
        self.rate = RateLimit(settings.api_rate)
        self.failures = RateLimit(settings.api_rate)
        self.audit = AuditLog(folder / "audit")
        self.champion = Champion(settings)
        self.live = LiveReader(settings.redis_url)
        self.kept = Kept(MOST_KEPT)
        self.monitor = Monitor(self.builds, time.time)
        self.queries = Queries(AT_ONCE, settings.api_query_seconds, self.monitor.cancelled.inc)

    @property
    def open_to_all(self) -> bool:
        """Whether requests need no key: on the loopback, as long as there are no keys."""
        return self.loopback and self.tokens is None and not self.keys.exist

    @property
    def most_bytes(self) -> int:
        """Bytes that an answer may have."""
        return self.settings.api_answer_mb * 1_000_000

    def close(self) -> None:
        """Close the builds, the threads and the log."""
        self.queries.close()
        self.builds.close()
        self.audit.close()


def api_folder(settings: Settings) -> Path:
    """The folder of the keys, the cursors' secret and the audit log."""
    return settings.home / "api"


def tokens_of(settings: Settings) -> Tokens | None:
    """The bearer tokens that are accepted; None where no issuer is set."""
    if not (settings.api_oidc_issuer and settings.api_oidc_audience and settings.api_oidc_jwks):
        return None
    return Tokens(settings.api_oidc_issuer, settings.api_oidc_audience, settings.api_oidc_jwks)


def service_of(scope: Any) -> Service:
    """The service of a request's application."""
    service: Service = scope["app"].state.service
    return service


def record_of(scope: Any) -> Record:
    """The record of a request."""
    record: Record = scope["analytics"]
    return record
