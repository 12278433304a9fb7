"""The command line: what Dagster's own does not do.

Belongs here: words and progress for a terminal. Does not belong here: what is done
(`automation.backfill`, `sources`, `warehouse`).
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analytics_assets.settings import PROJECT_ROOT, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from analytics_assets.partitions import Calendar, Window

DAY = click.DateTime(["%Y-%m-%d"])
OF_SUBSCRIPTIONS = click.option("--subscriptions", is_flag=True, help="The model of subscribers.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Customer analytics as Dagster assets: samples, backfills, and the development server."""


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--customers", type=int, default=20_000, show_default=True)
@click.option("--months", type=int, default=24, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
def sample(out: Path, customers: int, months: int, seed: int) -> None:
    """Write a generated source: customers, products, orders and sessions, some rows dirty."""
    from analytics_assets.sources.sample import write_sample

    with _clear_errors(ValueError):
        manifest = write_sample(out, customers, months, seed)
    click.echo(f"{out}: {manifest['start']} to {manifest['end']} (exclusive)")
    for name, rows in manifest["rows"].items():
        click.echo(f"  {name:<15}{rows:>10,} rows")


@main.command()
@click.option("--from", "first", type=DAY, required=True, help="First day, such as 2024-01-31.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option(
    "--snapshots",
    type=click.Choice(["newest", "every"]),
    default="newest",
    show_default=True,
    help="Customer snapshots and scores of the newest day, or of every day from the first on.",
)
def backfill(first: datetime, last: datetime, snapshots: str) -> None:
    """Materialize everything for a range of days, in order, as runs of the Dagster instance."""
    settings = _settings()
    if first > last:
        raise click.ClickException(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}.")
    from analytics_assets.partitions import Window

    window = Window(first.date(), last.date() + timedelta(days=1))
    sys.exit(_backfill(settings, [window], snapshots == "every"))


@main.command()
@click.option("--customers", type=int, default=20_000, show_default=True, help="Of the sample.")
@click.option("--months", type=int, default=24, show_default=True, help="Of the sample.")
def run(customers: int, months: int) -> None:
    """Bring everything up to date: load what is new or changed, rebuild what depends on it.

    Without ANALYTICS_SOURCES the generated sample is the source, made when it is missing.
    """
    settings = _settings()
    if settings.sources_file is None:
        from analytics_assets.sources.sample import write_sample

        with _clear_errors(ValueError):
            write_sample(settings.sample_dir, customers, months, settings.seed)
    from analytics_assets.automation.outdated import outdated, subscriptions_outdated
    from analytics_assets.definitions import build_definitions, build_warehouse

    with _project_errors(), _instance(settings) as instance:
        state = (
            *(build_definitions(settings), instance),
            *(_sources(settings), build_warehouse(settings)),
        )
        windows, subscriptions = outdated(*state), subscriptions_outdated(*state)
    if windows or subscriptions:
        code = _backfill(settings, windows, every_snapshot=False, subscriptions=subscriptions)
        if code:
            sys.exit(code)
    else:
        click.echo("Everything is up to date: the sources and the code are as they were.")
    _where_to_look(settings)


@main.command("check-sources")
def check_sources_command() -> None:
    """Look at the configured sources before loading: what is there, how it maps, what is wrong.

    Exits with 1 where a source cannot be loaded.
    """
    settings = _settings()
    from analytics_assets.sources.check import check_sources, in_words

    with _project_errors():
        reports = check_sources(_sources(settings))
    for report in reports:
        click.echo("\n".join([*in_words(report), ""]))
    problems = [report.source for report in reports if report.problem]
    click.echo(f"Cannot be loaded: {', '.join(problems)}." if problems else "All can be loaded.")
    sys.exit(1 if problems else 0)


@main.command()
@click.option("--source", help="Only of this source.")
@click.option("--export", "file", type=click.Path(path_type=Path), help="Write them to a CSV file.")
@click.option("--replay", is_flag=True, help="Load the days of the rejected rows again.")
def rejected(source: str | None, file: Path | None, replay: bool) -> None:
    """List rejected rows by reason, export them, or load their days again.

    Replay after the source or its mapping has been corrected; what is still wrong is rejected
    again.
    """
    settings = _settings()
    from analytics_assets.definitions import build_warehouse
    from analytics_assets.sources import rejected as rows
    from analytics_assets.sources.contract import CONTRACTS
    from analytics_assets.sources.load import loaded_to

    if source is not None and source not in CONTRACTS:
        raise click.ClickException(f"{source!r} is no source; known: {', '.join(CONTRACTS)}.")
    warehouse = build_warehouse(settings)
    with _project_errors():
        found = rows.reasons(warehouse, source)
        _print_rejected(found)
        if file is not None:
            click.echo(f"{rows.export(warehouse, file, source):,} rows written to {file}.")
        end = loaded_to(warehouse)
        if not replay:
            return
        days = rows.days_to_replay(warehouse, source, end - timedelta(days=1)) if end else []
    subscriptions = any(name == "subscriptions" for name, *_ in found)
    if not days and not subscriptions:
        click.echo("There is nothing to replay.")
        return
    code = _backfill(settings, rows.windows_of(days), False, subscriptions)
    with _project_errors():
        _print_rejected(rows.reasons(warehouse, source))
    sys.exit(code)


def _print_rejected(found: list[tuple[str, str, int, Any, Any]]) -> None:
    if not found:
        click.echo("No rejected rows.")
        return
    click.echo(f"{'source':<16}{'rows':>9}  {'days':<25}reason")
    for source, reason, rows, first, last in found:
        days = "" if first is None else str(first) if first == last else f"{first} to {last}"
        click.echo(f"{source:<16}{rows:>9,}  {days:<25}{reason}")


@main.group()
def model() -> None:
    """The churn models: which there are, and back to an earlier one."""


@model.command("list")
@OF_SUBSCRIPTIONS
def list_models(subscriptions: bool) -> None:
    """Registered versions of the churn model, newest first; the champion predicts."""
    registry = _registry(subscriptions)
    with _model_errors():
        champion, versions = registry.champion(), registry.versions()
    if not versions:
        click.echo("No model has been trained yet.")
    for version in versions:
        mark = "champion" if version == champion else version.decision or "not decided"
        click.echo(
            f"{version.number:>4}  {version.model_version}  {version.candidate:<20} "
            f"{f'labels to {version.trained_to}  ' if version.trained_to else ''}"
            f"{mark}: {version.reason}"
        )


@model.command()
@click.option("--to", type=int, help="Version; by default the newest that was champion before.")
@OF_SUBSCRIPTIONS
def rollback(to: int | None, subscriptions: bool) -> None:
    """Make an earlier version the champion and withdraw the present one."""
    registry = _registry(subscriptions)
    with _model_errors():
        withdrawn, champion = registry.rollback(to)
    click.echo(
        f"Version {withdrawn.number} is withdrawn; version {champion.number} "
        f"({champion.model_version}, {champion.candidate}) predicts from the next scores on."
    )


@main.command()
def profile() -> None:
    """Draw an HTML page for each table: distributions, missing values, drift since the last one."""
    from analytics_assets.automation.backfill import RunPlan, run_backfill
    from analytics_assets.automation.jobs import PROFILE_TABLES
    from analytics_assets.definitions import build_definitions

    settings = _settings()
    log = settings.home / "logs" / "profile.log"
    with _project_errors(), _instance(settings) as instance:
        composed = build_definitions(settings)
        outcome = run_backfill(composed, instance, [RunPlan(PROFILE_TABLES, {})], log)
    if outcome.failures:
        raise click.ClickException("; ".join(outcome.failures))
    for page in sorted(settings.profiles_dir.glob("*.html")):
        click.echo(page)


@main.command()
@click.argument("build_a")
@click.argument("build_b", default="CURRENT")
@click.option("--table", "tables", multiple=True, help="Only this table; may be given again.")
def diff(build_a: str, build_b: str, tables: tuple[str, ...]) -> None:
    """Show which rows and columns differ from BUILD_A to BUILD_B, two published builds.

    A build is its number under published/, CURRENT, or a DuckDB file. Exits with 1 when something
    differs.
    """
    from analytics_assets.warehouse.diff import diff_builds, find_build

    settings = _settings()
    with _project_errors():
        a, b = (find_build(settings.published_dir, name) for name in (build_a, build_b))
        found = diff_builds(a, b, tables)
    different = [table for table in found if not table.same]
    for table in different:
        click.echo(_difference(table))
    click.echo(f"{len(different)} of {len(found)} tables differ.")
    sys.exit(1 if different else 0)


def _difference(table: Any) -> str:
    """A table's differences in a few lines."""
    before, after = ("missing" if rows is None else f"{rows:,} rows" for rows in table.rows)
    lines = [f"{table.table}: {before} -> {after}"]
    if table.added or table.removed or table.changed:
        lines.append(
            f"  {table.added:,} added, {table.removed:,} removed, {table.changed:,} changed"
        )
    for name, count in sorted(table.columns.items(), key=lambda item: -item[1]):
        lines.append(f"  {name}: {count:,} rows differ")
    lines += [f"  column {name} is new" for name in table.columns_added]
    lines += [f"  column {name} is gone" for name in table.columns_removed]
    lines += [
        f"  column {name}: {before} -> {after}"
        for name, (before, after) in table.types_changed.items()
    ]
    return "\n".join([*lines, *(f"    {key}" for key in table.keys)])


# -h is the host for Dagster.
@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dev(arguments: tuple[str, ...]) -> None:
    """Set the instance up and start `dagster dev`; further arguments go to it."""
    settings = _settings()
    with _project_errors():
        prepare(settings)
    workspace = PROJECT_ROOT / "workspace.yaml"
    command = str(Path(sys.executable).with_name("dagster"))
    os.execv(command, [command, "dev", "-w", str(workspace), *arguments])  # noqa: S606


@main.command("prepare")
def prepare_command() -> None:
    """Set the instance up (DAGSTER_HOME, its dagster.yaml, dbt's manifest) and print its folder."""
    settings = _settings()
    with _project_errors():
        prepare(settings)
    click.echo(settings.dagster_home)


def prepare(settings: Settings) -> None:
    """Make DAGSTER_HOME and dbt's manifest, and point this process at them."""
    from analytics_assets.assets.dbt.command import prepare_manifest
    from analytics_assets.automation.instance import prepare_instance

    os.environ["DAGSTER_HOME"] = str(prepare_instance(settings))
    os.environ["ANALYTICS_HOME"] = str(settings.home)
    prepare_manifest(settings)


def _backfill(
    settings: Settings, windows: "list[Window]", every_snapshot: bool, subscriptions: bool = False
) -> int:
    """Run the backfill of each window and print what it did; the exit code."""
    from analytics_assets.automation.backfill import plan_backfill, run_backfill
    from analytics_assets.automation.notifications import post
    from analytics_assets.definitions import build_definitions, build_warehouse
    from analytics_assets.sources.load import loaded_to

    began = time.monotonic()
    code = 0
    with _project_errors(), _instance(settings) as instance:
        composed = build_definitions(settings)
        sources = _sources(settings)
        for window in windows:
            _require_within(window, sources.calendar, sources.has_orders)
        plans = plan_backfill(
            windows,
            sources.calendar,
            settings.churn_horizon_days,
            loaded_to(build_warehouse(settings)),
            every_snapshot,
            subscriptions,
        )
        with _progress() as listener:
            outcome = run_backfill(
                composed, instance, plans, settings.home / "logs" / "backfill.log", listener
            )
    click.echo(_table(outcome.assets))
    for failure in outcome.failures:
        click.secho(f"FAILED  {failure}", fg="red", err=True)
        code = 1
    if outcome.failures and settings.webhook_url:
        # Dagster's failure sensor sees the runs that its daemon launched, not these.
        problem = post(settings.webhook_url, f"Backfill failed: {'; '.join(outcome.failures)}")
        if problem:
            click.echo(f"The failure was not reported: {problem}.", err=True)
    click.echo(f"{len(plans)} runs in {time.monotonic() - began:.0f} s.")
    return code


@contextmanager
def _progress() -> Iterator[Callable[[Any], None]]:
    """A progress bar for each run, over the partitions and checks that it has planned.

    Without a terminal, a line for each run when it ends.
    """
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        yield _say_when_over
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def listener(event: Any) -> None:
        kind = event.event_type_value
        if event.job_name not in bars:
            _finish(bars)
            # Not redirected with what the steps print.
            bars[event.job_name] = tqdm(
                total=0, desc=event.job_name, unit=" steps", file=sys.__stderr__, ncols=88
            )
        bar = bars[event.job_name]
        if kind in ("ASSET_MATERIALIZATION_PLANNED", "ASSET_CHECK_EVALUATION_PLANNED"):
            bar.total += 1
        elif kind in ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION"):
            bar.update()
        elif kind == "STEP_START":
            bar.set_postfix_str(event.step_key)

    yield listener
    _finish(bars)


def _say_when_over(event: Any) -> None:
    # Not redirected with what the steps print.
    if event.is_job_event and (event.is_job_success or event.is_job_failure):
        print(event.job_name, "done" if event.is_job_success else "failed", file=sys.__stderr__)


def _finish(bars: dict[str, Any]) -> None:
    for bar in bars.values():
        bar.set_postfix_str("")
        bar.close()


def _table(assets: dict[str, Any]) -> str:
    """Asset, rows, seconds, checks: one line an asset."""
    header = f"{'asset':<28}{'partitions':>11}{'rows':>13}{'seconds':>9}"
    header += f"{'passed':>8}{'warned':>8}{'failed':>8}"
    lines = [header, "-" * len(header)]
    for name, made in assets.items():
        rows = "" if made.rows is None else f"{made.rows:,.0f}"
        lines.append(
            f"{name:<28}{made.partitions:>11,}{rows:>13}{made.seconds:>9.1f}"
            f"{made.passed:>8}{made.warned:>8}{made.failed:>8}"
        )
    return "\n".join(lines)


def _where_to_look(settings: Settings) -> None:
    """What is published, and how to see it."""
    from analytics_assets.warehouse.publish import current_build, open_build

    with _project_errors():
        build = current_build(settings.published_dir)
    click.echo()
    with open_build(build) as session:
        held = {table for (table,) in session.rows("SELECT table_name FROM duckdb_tables()")}
        for table, of, where in (
            (
                "churn_predictions",
                "customers on the newest day",
                "snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_predictions)",
            ),
            ("subscription_predictions", "subscribers who have not left", "TRUE"),
        ):
            if table in held:
                bands = session.rows(
                    f"SELECT risk_band, count(*) FROM churn.{table} WHERE {where} "
                    "GROUP BY 1 ORDER BY 2 DESC"
                )
                words = ", ".join(f"{band} {customers:,}" for band, customers in bands)
                click.echo(f"Churn risk of {of}: {words or 'no predictions'}.")
    click.echo(f"Published copy (read-only DuckDB): {build}")
    click.echo("Graph, runs, checks and plots:     make dev, then open the address it prints")


def _settings() -> Settings:
    with _clear_errors(SettingsError):
        return load_settings()


def _registry(subscriptions: bool) -> Any:
    from analytics_assets.assets.churn.model import model_registry
    from analytics_assets.assets.churn.subscriptions import subscription_registry

    return (subscription_registry if subscriptions else model_registry)(_settings())


@contextmanager
def _model_errors() -> Iterator[None]:
    from analytics_assets.churn.data import ModelError
    from analytics_assets.churn.registry import RegistryError

    with _clear_errors(ModelError, RegistryError):
        yield


def _sources(settings: Settings) -> Any:
    from analytics_assets.sources.configured import configured_sources

    return configured_sources(settings)


def _require_within(window: "Window", calendar: "Calendar", has_orders: bool) -> None:
    from analytics_assets.partitions import Window, daily_partitions

    if not has_orders:
        raise click.ClickException("No configured source has days. Use `analytics-assets run`.")
    # Where the data go on, the last partition is the last day that has closed.
    last = daily_partitions(calendar).get_last_partition_key()
    end = Window.of_days(last, last).end if last else calendar.start
    if window.start < calendar.start or window.end > end:
        raise click.ClickException(
            f"The sources cover {calendar.start} to {end - timedelta(days=1)}; "
            f"{window.start} to {window.end - timedelta(days=1)} is not within."
        )


@contextmanager
def _instance(settings: Settings) -> Iterator[Any]:
    """The project's Dagster instance, set up."""
    from dagster import DagsterInstance

    prepare(settings)
    with DagsterInstance.get() as instance:
        yield instance


@contextmanager
def _project_errors() -> Iterator[None]:
    """Turns the errors that tell a user what to do into a line instead of a traceback."""
    from analytics_assets.assets.dbt.command import DbtProjectError
    from analytics_assets.sources.config import SourceConfigError
    from analytics_assets.sources.readers.base import SourceError
    from analytics_assets.warehouse.connection import WarehouseError

    with _clear_errors(
        SettingsError, SourceConfigError, SourceError, WarehouseError, DbtProjectError
    ):
        yield


@contextmanager
def _clear_errors(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
