"""Which tables belong to one load, and what of it a step of dbt finishes.

Belongs here: the tables that follow from what a load writes, and a step's entries in the record of
unfinished tables. Does not belong here: the record itself (`warehouse.unfinished`).

Snapshots and months are no part of a load: they are built in runs of their own, and what they were
built from is known (`checks.staleness`). They read what a load leaves, so they wait for its end.
The scores of a snapshot are begun with it: nobody is to read the one without the other.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any

from analytics_assets.assets.quality.blocking import unfinished_ends_the_step
from analytics_assets.checks.staleness import SNAPSHOTS
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.base import SNAPSHOT_COLUMN
from analytics_assets.sources.declared import LEADING
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.unfinished import (
    RAW,
    Unfinished,
    begin,
    checks_of,
    finish,
    is_load,
    is_monthly,
    is_snapshot,
    require_finished,
    unfinished,
)


def built_from(manifest: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The stored tables of a load, each with the raw tables that it is made from."""
    parents: Mapping[str, list[str]] = manifest["parent_map"]
    found = {}
    for key in parents:
        name = key.split(".")[-1]
        if not key.startswith("model.") or name not in TABLES or TABLES[name].is_view:
            continue
        lineage = {one.split(".")[-1] for one in _with_ancestors(parents, key)}
        tables = [TABLES[one] for one in lineage if one in TABLES]
        if any(
            table.partitioning == "monthly"
            or SNAPSHOT_COLUMN in table.columns
            or table.group == "churn"
            for table in tables
        ):
            continue
        raw = {one for one in lineage if one.startswith(RAW)}
        found[name] = frozenset(raw or {f"{RAW}{LEADING}"})
    return found


def _with_ancestors(parents: Mapping[str, list[str]], key: str) -> set[str]:
    return {key}.union(*(_with_ancestors(parents, parent) for parent in parents.get(key, ())))


class Generation:
    """What a step of dbt replaces.

    Args:
        warehouse: the warehouse.
        origins: from `built_from`.
        checked: tables with blocking checks that follow in steps of their own.
        selected: the tables of the step.
        window: its days.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        origins: Mapping[str, frozenset[str]],
        checked: Collection[str],
        selected: Collection[str],
        window: Window | None,
    ) -> None:
        self._warehouse = warehouse
        self._origins = origins
        self._window = window
        self._of_load = [name for name in selected if name in origins]
        stored = [name for name in selected if not TABLES[name].is_view]
        self._waits = len(self._of_load) < len(stored)
        self._later = [name for name in stored if is_snapshot(name) or is_monthly(name)]
        self._begun = [*self._of_load, *self._later]
        if SNAPSHOTS[0] in stored:
            self._begun += SNAPSHOTS[1:]
        self._begun += checks_of(self._begun, checked)

    def begin(self, at: datetime) -> None:
        """Record the tables that are about to be replaced.

        Raises:
            Failure: some of the step's tables read a load that is unfinished, and stays so.
        """
        with self._warehouse.transaction() as session, unfinished_ends_the_step():
            begin(session, self._begun, self._window, at)
            if self._waits:
                require_finished(self._left(unfinished(session, is_load)))

    def finish(self, built: Collection[str]) -> None:
        """Take out of the record what has been built, and the loads of which all has been."""
        with self._warehouse.transaction() as session:
            done = [name for name in self._of_load if name in built]
            done += self._loads(unfinished(session), done)
            done += [name for name in self._later if name in built]
            finish(session, done, self._window)

    def _loads(self, record: Collection[str], done: Collection[str]) -> list[str]:
        """The raw tables in the record from which all tables have been built."""
        return [
            raw
            for raw in record
            if raw.startswith(RAW)
            and {name for name, origins in self._origins.items() if raw in origins} <= {*done}
        ]

    def _left(self, record: Unfinished) -> dict[str, set[date | None]]:
        """What stays unfinished when this step has built all that it is to build."""
        done = {*self._of_load, *self._loads(record, self._of_load)}
        covered = {None, *(self._window or ())}
        left = {
            name: set(days) - (covered if name in done else set()) for name, days in record.items()
        }
        return {name: days for name, days in left.items() if days}
