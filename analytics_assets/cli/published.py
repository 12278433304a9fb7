"""Commands for readers: pages of tables, and differences between builds."""

import sys
from typing import Any

import click

from analytics_assets.cli.common import open_instance, project_errors, read_settings
from analytics_assets.settings import Settings


@click.command()
def profile() -> None:
    """Draw an HTML page for each table: distributions, missing values, what has changed."""
    from analytics_assets.automation.backfill import RunPlan, run_backfill
    from analytics_assets.automation.jobs import PROFILE_TABLES
    from analytics_assets.definitions import build_definitions

    settings = read_settings()
    log = settings.home / "logs" / "profile.log"
    with project_errors(), open_instance(settings) as instance:
        composed = build_definitions(settings)
        outcome = run_backfill(composed, instance, [RunPlan(PROFILE_TABLES, {})], log)
    if outcome.failures:
        raise click.ClickException("; ".join(outcome.failures))
    for page in sorted(settings.profiles_dir.glob("*.html")):
        click.echo(page)


@click.command()
@click.argument("build_a")
@click.argument("build_b", default="CURRENT")
@click.option("--table", "tables", multiple=True, help="Only this table; may be given again.")
def diff(build_a: str, build_b: str, tables: tuple[str, ...]) -> None:
    """Show which rows and columns differ between BUILD_A and BUILD_B, two builds or two homes.

    A build is its number under published/, CURRENT, a DuckDB file, or the folder of a home. Exits
    with 1 if something differs.
    """
    from analytics_assets.warehouse.diff import diff_builds, find_build

    settings = read_settings()
    with project_errors():
        a, b = (find_build(settings.published_dir, name) for name in (build_a, build_b))
        compared = diff_builds(a, b, tables)
    different = [table for table in compared if not table.same]
    for table in different:
        click.echo(_difference(table))
    click.echo(f"{len(different)} of {len(compared)} tables differ.")
    sys.exit(1 if different else 0)


def _difference(table: Any) -> str:
    """The differences of a table, as a few lines."""
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


def print_published(settings: Settings) -> None:
    """Print what is published and how to see it."""
    from analytics_assets.sources.declared import SOURCES
    from analytics_assets.warehouse.publish import current_build, open_build

    with project_errors():
        build = current_build(settings.published_dir)
    click.echo()
    with open_build(build) as session:
        tables = {table for (table,) in session.rows("SELECT table_name FROM duckdb_tables()")}
        for model in [source.model for source in SOURCES.values() if source.model]:
            if model.scores in tables:
                bands = session.rows(
                    f"SELECT risk_band, count(*) FROM churn.{model.scores} WHERE {model.newest} "
                    "GROUP BY 1 ORDER BY 2 DESC"
                )
                counts = ", ".join(f"{band} {customers:,}" for band, customers in bands)
                click.echo(f"Churn risk of {model.scored}: {counts or 'no predictions'}.")
    click.echo(f"Published copy (read-only DuckDB): {build}")
    click.echo("Graph, runs, checks and plots:     make dev, then open the address it prints")
