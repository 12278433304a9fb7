"""What every check is and what it says, whatever it looks at.

Belongs here: the one shape of a check and of its finding, and what Dagster is told of it. Does not
belong here: what is looked for (a module a family) or which checks there are (`registry`).

A finding names rows by the key of their table, and counts them; no other value leaves the
warehouse. Whoever may read the warehouse lists them all with the query.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, MetadataValue

from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.warehouse.session import Session

KEYS_SHOWN = 5
# The dimensions of the quality score; each check counts towards one.
DIMENSIONS = ("completeness", "validity", "consistency", "uniqueness", "timeliness")
# A share of a handful of rows says little: from so many failing rows on it can be an error.
FEWEST_SEVERE_ROWS = 10


@dataclass(frozen=True)
class Check:
    """A check of a table.

    Attributes:
        family: what the settings block, warn of or leave out as one.
        asset: the table that it belongs to.
        name: unique among the table's checks.
        description: what holds when it passes.
        dimension: what it counts towards in the quality score.
        remedy: what one could do about a failure.
        rule: what the family's module evaluates.
        severe_share: share of failing rows above which a failure is an error; None when it is
            never more than a warning.
        allowed_share: share of failing rows up to which it passes.
    """

    family: str
    asset: str
    name: str
    description: str
    dimension: str
    remedy: str
    rule: Any = None
    severe_share: float | None = 0.0
    allowed_share: float = 0.0

    def spec(self, policy: str) -> AssetCheckSpec:
        """What Dagster knows of it before it runs."""
        return AssetCheckSpec(
            self.name,
            asset=self.asset,
            description=self.description,
            blocking=policy == "block" and self.severe_share is not None,
            metadata={
                "family": self.family,
                "dimension": self.dimension,
                "policy": policy,
                "remedy": self.remedy,
            },
        )

    def is_severe(self, rows: int, failing: int) -> bool:
        """Whether so many failing rows of so many are an error rather than a warning."""
        if self.severe_share is None or not failing:
            return False
        few = self.severe_share > 0 and failing < FEWEST_SEVERE_ROWS
        return not few and failing > self.severe_share * rows


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        check: the check.
        passed: the verdict.
        description: the finding in words, without values of rows.
        severe: whether a failure is an error, as far as the policy allows.
        window: what was looked at; None for the whole table.
        rows: rows looked at.
        failing: rows that break the rule.
        figure: the number that was held against the threshold, where it is not the failing rows.
        threshold: what it was held against.
        days: rows and failing rows of each day, where they are counted by day.
        keys: keys of a few failing rows.
        query: SQL that lists every failing row.
        details: further metadata.
        seconds: how long it took; of checks that share a query, their part of it.
    """

    check: Check
    passed: bool
    description: str
    severe: bool = True
    window: Window | None = None
    rows: int | None = None
    failing: int | None = None
    figure: float | None = None
    threshold: float | None = None
    days: Mapping[date, tuple[int, int]] | None = None
    keys: Sequence[Mapping[str, Any]] = ()
    query: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def result(self, policy: str) -> AssetCheckResult:
        """What Dagster is told; the ledger reads the metadata by these names."""
        severe = self.severe if not self.passed else self.check.severe_share is not None
        metadata: dict[str, Any] = {
            "family": self.check.family,
            "dimension": self.check.dimension,
            "rows checked": self.rows,
            "failing rows": self.failing,
            "share": self.failing / self.rows if self.rows and self.failing is not None else None,
            "figure": self.figure,
            "threshold": self.threshold,
            "window": str(self.window) if self.window else None,
            "seconds": round(self.seconds, 4),
            "by day": _by_day(self.days) if self.days else None,
        }
        if not self.passed:
            metadata["keys"] = MetadataValue.json(_plain(self.keys)) if self.keys else None
            metadata["query"] = (
                MetadataValue.md(f"```sql\n{self.query}\n```") if self.query else None
            )
            metadata["remedy"] = self.check.remedy
        metadata |= self.details
        return AssetCheckResult(
            asset_key=self.check.asset,
            check_name=self.check.name,
            passed=self.passed,
            severity=(
                AssetCheckSeverity.ERROR
                if policy == "block" and severe
                else AssetCheckSeverity.WARN
            ),
            description=self.description,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )


Evaluate = Callable[[Session, Scans, Sequence[Check], Window | None], Iterable[Finding]]
# Asks for the figures that a family's checks will look at.
Want = Callable[[Session, Scans, Sequence[Check], Window | None], None]


def rows_in_words(rows: int, failing: int) -> str:
    """`3 of 1,200 rows (0.25%)`."""
    if not rows:
        return "no rows to look at"
    if not failing:
        return f"none of {rows:,} rows"
    return f"{failing:,} of {rows:,} rows ({failing / rows:.2%})"


def fetch_keys(session: Session, names: Sequence[str], listing: str) -> list[dict[str, Any]]:
    """Keys of a few rows of a FROM clause."""
    if not names:
        return []
    columns = ", ".join(names)
    return hidden(
        session.records(f"SELECT {columns} {listing} ORDER BY {columns} LIMIT {KEYS_SHOWN}")
    )


def hidden(keys: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Keys in which what looks like an address is hidden.

    Some sources name their customers by e-mail address, or have shifted columns.
    """
    return [
        {name: "(hidden)" if "@" in str(value) else value for name, value in key.items()}
        for key in keys
    ]


def tidy(sql: str) -> str:
    """SQL without the indentation of the code that it stood in."""
    lines = [line.rstrip() for line in sql.strip("\n").split("\n")]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines if line.strip())


def _by_day(days: Mapping[date, tuple[int, int]]) -> MetadataValue:
    return MetadataValue.json({str(day): list(days[day]) for day in sorted(days)})


def _plain(keys: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return json.loads(json.dumps(list(keys), default=str))


def by_asset(checks: Sequence[Check]) -> Iterator[tuple[str, list[Check]]]:
    """The checks of each table, in the order given."""
    assets: dict[str, list[Check]] = {}
    for check in checks:
        assets.setdefault(check.asset, []).append(check)
    yield from assets.items()
