"""Materializing a range of days in the right order, through Dagster's own jobs.

Belongs here: the sequence of runs, their execution in this process, and their outcome. Does not
belong here: what a terminal prints (`cli`).

Daily assets, monthly features, training and the scores of the last day are partitioned in three
different ways, so one range takes four runs. Each appears in the UI like any other run.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    EventLogEntry,
    MetadataValue,
)

from analytics_assets.automation.dead_runs import Say, end_dead_runs, watching
from analytics_assets.automation.heartbeat import beating
from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
)
from analytics_assets.automation.ranges import (
    contiguous,
    covering,
    in_chunks,
    months_of,
    range_tags,
)
from analytics_assets.automation.stopping import Stop
from analytics_assets.checks.staleness import SNAPSHOTS, Stale
from analytics_assets.compat.dagster import known_to_the_ui
from analytics_assets.json_logs import as_stdout, of_run
from analytics_assets.partitions import (
    COMMAND_LINE_TAG,
    KEEP_MODELS_TAG,
    Calendar,
    Window,
    next_month,
)
from analytics_assets.processes import Process
from analytics_assets.sources.declared import SOURCES

# Of the code location, in workspace.yaml and pyproject.toml.
MODULE, LOCATION = "analytics_assets.definitions", "analytics_assets"

Listener = Callable[[DagsterEvent], None]
# Jobs that may fail without stopping the jobs after them.
MAY_FAIL = {RETRAIN, *(name for name, source in SOURCES.items() if source.job)}


@dataclass
class AssetOutcome:
    """What a sequence of runs did to one asset."""

    partitions: int = 0
    rows: float | None = None
    seconds: float = 0.0
    passed: int = 0
    warned: int = 0
    failed: int = 0


@dataclass(frozen=True)
class RunPlan:
    """One run: a job and its partitions; of the job's assets all, unless some are named."""

    job: str
    tags: dict[str, str]
    assets: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name of the job, for people."""
        return self.job.replace("_", " ")


@dataclass
class Outcome:
    """What a backfill did.

    Attributes:
        assets: the outcome of each asset, by name.
        failures: the runs that failed, with their reasons.
        details: what the failed checks say; only for a terminal, as it names rows by their keys.
    """

    assets: dict[str, AssetOutcome] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def asset(self, name: str) -> AssetOutcome:
        """The outcome of an asset, created on first use."""
        return self.assets.setdefault(name, AssetOutcome())


@dataclass(frozen=True)
class History:
    """What was loaded and built before.

    Attributes:
        loaded: days of the leading source.
        snapshots: days that have a snapshot of the customers.
        stale: what of it has to be built again, whatever is loaded now.
        untrained: features were built after the last training.
    """

    loaded: Collection[date] = frozenset()
    snapshots: Collection[date] = frozenset()
    stale: Stale = field(default_factory=Stale)
    untrained: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether something has to be built, whatever is loaded now."""
        return bool(self.stale.snapshots or self.stale.months or self.untrained)

    @property
    def loaded_to(self) -> date | None:
        """Exclusive end of the days."""
        return max(self.loaded) + timedelta(days=1) if self.loaded else None


def plan_backfill(
    windows: Sequence[Window],
    calendar: Calendar,
    horizon_days: int,
    history: History = History(),
    every_snapshot: bool = False,
    own_jobs: Sequence[str] = (),
    most_days: int | None = None,
) -> list[RunPlan]:
    """The runs that load windows and rebuild everything that depends on them, in order.

    What comes out does not depend on the order in which days are loaded: snapshots of later days
    are built again, and the last day of a window that is new gets a snapshot, as it would have if
    it had been the newest.

    Args:
        windows: days to load, earliest first; empty if none changed.
        calendar: the days that the sources cover.
        horizon_days: length of the churn label window. Earlier months whose labels depend on the
            windows, and have closed, are rebuilt, and the model is trained again.
        history: what was loaded and built before; later months and snapshots also depend on the
            windows.
        every_snapshot: build the snapshots and scores of every day from the first one, not only
            the newest. Scores of a past day by a model trained later are not predictions.
        own_jobs: sources whose own jobs run first.
        most_days: days that one run loads at most; None for any number.
    """
    plans = [RunPlan(source, {}) for source in own_jobs]
    plans += [RunPlan(LOAD_DAYS, range_tags(chunk)) for chunk in in_chunks(windows, most_days)]
    ends = [window.end for window in windows] + [day for day in (history.loaded_to,) if day]
    if not ends:
        return plans  # the job of a source publishes where there are no days
    end = max(ends)
    newest = end - timedelta(days=1)
    stale = history.stale
    months = [Window(month, next_month(month)) for month in stale.months]
    snapshots = set(stale.snapshots)
    if windows:
        start = windows[0].start
        # There may be a gap between the days loaded before and these: labels close over it, too.
        first = min(start, history.loaded_to or start)
        months += [window for window in (months_of(calendar, first, end, horizon_days),) if window]
        snapshots |= {day for day in history.snapshots if day >= start}
        last_days = {window.end - timedelta(days=1) for window in windows}
        snapshots |= last_days - set(history.loaded)
    if months:
        plans.append(RunPlan(MONTHLY_FEATURES, range_tags(covering(months), monthly=True)))
    if months or history.untrained:
        plans.append(RunPlan(RETRAIN, {}))
    scored = Window(windows[0].start if every_snapshot and windows else newest, end)
    plans += [
        RunPlan(SCORE_DAY, {**range_tags(days), KEEP_MODELS_TAG: "true"}, SNAPSHOTS)
        for days in contiguous(snapshots - set(scored))
    ]
    return [*plans, RunPlan(SCORE_DAY, range_tags(scored))]


def run_backfill(
    composed: Definitions,
    instance: DagsterInstance,
    plans: list[RunPlan],
    log_file: Path,
    listener: Listener = lambda event: None,
    say: Say = lambda line: None,
    stop: Stop | None = None,
) -> Outcome:
    """Execute the runs in this process, one after the other.

    Runs that are dead are ended first, so that none waits for them.

    If the training fails (for example, with too little history), the last model predicts; without
    a model there are no predictions. A failed source with its own job does not stop the days.

    Args:
        composed: the definitions.
        instance: where the runs are recorded.
        plans: from `plan_backfill`.
        log_file: receives what the steps print.
        listener: called with every event, for progress.
        say: takes a line for people: which runs are dead, and for whom this one waits.
        stop: takes the signals; none where that is the caller's business.
    """
    outcome, stop = Outcome(), stop or Stop()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as file:
        log = as_stdout(file)
        for plan in plans:
            end_dead_runs(instance, say)
            failure = _run(composed, instance, plan, outcome, listener, log, log_file, say, stop)
            if stop.signal is not None:
                break
            if failure:
                outcome.failures.append(f"{plan.title}: {failure}")
                if plan.job not in MAY_FAIL:
                    break
    return outcome


def _run(
    composed: Definitions,
    instance: DagsterInstance,
    plan: RunPlan,
    outcome: Outcome,
    listener: Listener,
    log: TextIO,
    log_file: Path,
    say: Say,
    stop: Stop,
) -> str | None:
    """Execute one run and return what failed, or None."""
    job = composed.resolve_job_def(plan.job)
    run_id = str(uuid4())
    causes: list[str] = []

    def observe(entry: EventLogEntry) -> None:
        if entry.dagster_event:
            cause = _record(entry.dagster_event, outcome, entry.timestamp, starts)
            if cause:
                causes.append(cause)
            listener(entry.dagster_event)

    starts: dict[str, float] = {}
    instance.add_event_listener(run_id, observe)
    with (
        of_run(run_id),
        stop.of_run(instance, run_id),
        beating(instance, run_id),
        watching(instance, run_id, say),
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        known_to_the_ui(instance, MODULE, LOCATION, plan.job) as place,
    ):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags={
                **plan.tags,
                **place,
                **Process.current().tags(run_id),
                COMMAND_LINE_TAG: "true",
            },
            asset_selection=[AssetKey(name) for name in plan.assets] or None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
    if result.success:
        return None
    return f"{'; '.join(causes) or 'failed'} (run {run_id[:8]}; log {log_file})"


def _record(
    event: DagsterEvent, outcome: Outcome, timestamp: float, starts: dict[str, float]
) -> str | None:
    """Add an event to the outcome; return the cause if it reports a failure."""
    kind = event.event_type
    if kind == DagsterEventType.STEP_START and event.step_key:
        starts[event.step_key] = timestamp
    elif kind == DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
        materialization = event.step_materialization_data.materialization
        asset = outcome.asset(event.asset_key.path[-1])
        metadata = materialization.metadata
        if materialization.partition is None:
            asset.rows = _number(metadata.get("dagster/row_count"))
        else:
            asset.rows = (asset.rows or 0) + (
                _number(metadata.get("dagster/partition_row_count")) or 0
            )
        duration = _number(metadata.get("Execution Duration"))
        if duration is not None:
            # A range of partitions is one statement: each of them has its duration.
            asset.seconds = duration
        elif event.step_key in starts:
            asset.seconds += timestamp - starts.pop(event.step_key)
        asset.partitions += 1
    elif kind == DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        checked = outcome.asset(evaluation.asset_key.path[-1])
        checked.passed += evaluation.passed
        if not evaluation.passed and evaluation.severity == AssetCheckSeverity.WARN:
            checked.warned += 1
        elif not evaluation.passed:
            checked.failed += 1
            name = f"{evaluation.asset_key.path[-1]}.{evaluation.check_name}"
            outcome.details += _evidence(name, evaluation.metadata)
            return f"{name}: {evaluation.description or 'failed'}"
    elif kind == DagsterEventType.STEP_FAILURE:
        error = event.step_failure_data.error
        cause = error.cause if error and error.cause else error
        return f"{event.step_key}: {cause.message.strip() if cause else 'failed'}"
    return None


def _evidence(name: str, metadata: Mapping[str, MetadataValue[Any]]) -> list[str]:
    """What a failed check says in addition: what to do, keys of a few rows, the query."""
    shown = {
        "what to do": metadata.get("remedy"),
        "keys of a few rows": metadata.get("keys"),
        "all rows": metadata.get("query"),
    }
    lines = []
    for title, entry in shown.items():
        value = getattr(entry, "value", None)
        if isinstance(value, list):
            value = "; ".join(
                ", ".join(f"{column} {key}" for column, key in row.items()) for row in value
            )
        elif isinstance(value, str):
            value = value.removeprefix("```sql\n").removesuffix("\n```").replace("\n", "\n    ")
        if value:
            lines.append(f"  {title}: {value}")
    return [f"{name}:", *lines] if lines else []


def _number(value: object) -> float | int | None:
    number = getattr(value, "value", None)
    return number if isinstance(number, int | float) else None
