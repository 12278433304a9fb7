"""One reader's view of one build: all that a page shows is of the same build.

Belongs here: asking the build, and keeping its answers, which cannot change. Does not belong here:
the questions (`questions`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from analytics_assets.questions.sales import newest_day
from analytics_assets.warehouse.builds import OpenBuild

Answer = TypeVar("Answer")
MOST_KEPT = 300  # answers of a build


class Reader:
    """Answers of a build.

    Args:
        build: the build; it stays open as long as the page is drawn.
    """

    def __init__(self, build: OpenBuild) -> None:
        self.build = build

    def ask(self, question: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer to a question; the second time it comes from memory."""
        kept: dict[Any, Any] = self.build.facts.setdefault("dashboards", {})
        key = (question.__module__, question.__qualname__, arguments)
        if key not in kept:
            with self.build.session() as session:
                answer = question(session, *arguments)
            if len(kept) >= MOST_KEPT:
                kept.clear()
            kept[key] = answer
        found: Answer = kept[key]
        return found

    def lacks(self, *tables: str) -> list[str]:
        """Those of some tables that the build does not have."""
        return [table for table in tables if table not in self.build.columns]

    @property
    def newest(self) -> date | None:
        """The newest day with orders; None without any."""
        return None if self.lacks("sales_daily") else self.ask(newest_day)

    @property
    def published_at(self) -> datetime:
        """When the build was written."""
        return datetime.fromtimestamp(self.build.published_at, UTC)
