"""The common shape of all checks and of their findings.

Belongs here: `Check`, `Finding`, and their translation for Dagster. Does not belong here: rules (a
module for each family) or the list of checks (`registry`).

A finding counts failing rows and names some by the key of their table; no other value leaves the
warehouse. Its query lists all of them, for people who may read the warehouse.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
# The share of a handful of rows says little: fewer failing rows than these are no error by share.
FEWEST_SEVERE_ROWS = 10


@dataclass(frozen=True)
class Check:
    """A check of a table.

    Attributes:
        family: group of checks with one policy in the settings.
        asset: its table.
        name: unique among the table's checks.
        description: what is true when it passes.
        dimension: dimension of the quality score that it counts towards.
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
        """Its declaration for Dagster."""
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
        """Whether the number of failing rows is an error rather than a warning."""
        if self.severe_share is None or not failing:
            return False
        few = self.severe_share > 0 and failing < FEWEST_SEVERE_ROWS
        return not few and failing > self.severe_share * rows


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        check: the check.
        passed: the verdict.
        description: the result in words, without values of rows.
        severe: whether a failure is an error, as far as the policy allows.
        window: the days that were checked; None for the whole table.
        rows: number of rows checked.
        failing: number of rows that break the rule.
        figure: the number that was compared with the threshold, if not the failing rows.
        threshold: the threshold.
        days: rows and failing rows of each day, where they are counted by day.
        keys: keys of a few failing rows.
        query: SQL that lists every failing row.
        details: further metadata.
        seconds: its duration; for checks that share a query, their part of it.
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
        """The result for Dagster; the ledger reads the metadata by these names."""
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
# Requests the figures that a family's checks need.
Want = Callable[[Session, Scans, Sequence[Check], Window | None], None]


def rows_in_words(rows: int, failing: int) -> str:
    """`3 of 1,200 rows (0.25%)`."""
    if not rows:
        return "no rows to check"
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
    """Keys with everything hidden that looks like an address.

    Some sources identify customers by e-mail address, or have shifted columns.
    """
    return [
        {name: "(hidden)" if "@" in str(value) else value for name, value in key.items()}
        for key in keys
    ]


def tidy(sql: str) -> str:
    """SQL without the indentation of the code around it."""
    lines = [line.rstrip() for line in sql.strip("\n").split("\n")]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines if line.strip())


def _by_day(days: Mapping[date, tuple[int, int]]) -> MetadataValue:
    return MetadataValue.json({str(day): list(days[day]) for day in sorted(days)})


def _plain(keys: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return json.loads(json.dumps(list(keys), default=str))
