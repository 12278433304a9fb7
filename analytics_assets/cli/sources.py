"""Commands for sources: the generated sample, checks before loading, and rejected rows."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from analytics_assets.cli.common import clear_errors, project_errors, read_settings, read_sources
from analytics_assets.cli.runs import materialize


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--customers", type=int, default=20_000, show_default=True)
@click.option("--months", type=int, default=24, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
def sample(out: Path, customers: int, months: int, seed: int) -> None:
    """Write a generated source: customers, products, orders and sessions, some rows dirty."""
    from analytics_assets.sources.sample import write_sample

    with clear_errors(ValueError):
        manifest = write_sample(out, customers, months, seed)
    click.echo(f"{out}: {manifest['start']} to {manifest['end']} (exclusive)")
    for name, rows in manifest["rows"].items():
        click.echo(f"  {name:<15}{rows:>10,} rows")


@click.command("check-sources")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--write", "out", type=click.Path(path_type=Path), help="File for the YAML of FILES.")
def check_sources_command(files: tuple[Path, ...], out: Path | None) -> None:
    """Check the configured sources before loading: what is there, how it maps, what is wrong.

    Exits with 1 if a source cannot be loaded. With FILES, exports of orders, it needs no
    configuration: it prints a starting one for them, or writes it.
    """
    if files or out is not None:
        _start(files, out)
        return
    settings = read_settings()
    from analytics_assets.sources.check import check_sources
    from analytics_assets.sources.report import in_words

    with project_errors():
        reports = check_sources(read_sources(settings))
    for report in reports:
        click.echo("\n".join([*in_words(report), ""]))
    problems = [report.source for report in reports if report.problem]
    click.echo(f"Cannot be loaded: {', '.join(problems)}." if problems else "All can be loaded.")
    sys.exit(1 if problems else 0)


def _start(files: tuple[Path, ...], out: Path | None) -> None:
    """Print or write the starting configuration of some files."""
    from analytics_assets.sources.starting.draft import drafted, tried

    if not files:
        raise click.ClickException("Name the files that the configuration is for.")
    if out is not None and out.exists():
        raise click.ClickException(f"{out} exists, and is not overwritten.")
    with project_errors():
        draft = drafted(files)
        report = tried(draft)
        text = draft.text(out.parent if out is not None else Path())
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"{out}: {report.rows:,} rows, of which {report.rejected:,} would be rejected")
    for why, rows in report.reasons:
        click.echo(f"{rows:>9,}  {why}")


@click.command()
@click.option("--source", help="Only of this source.")
@click.option("--export", "file", type=click.Path(path_type=Path), help="Write them to a CSV file.")
@click.option("--replay", is_flag=True, help="Load the days of the rejected rows again.")
def rejected(source: str | None, file: Path | None, replay: bool) -> None:
    """List rejected rows by reason, export them, or load their days again.

    Replay after the source or its mapping has been corrected; what is still wrong is rejected
    again.
    """
    settings = read_settings()
    from analytics_assets.definitions import build_warehouse
    from analytics_assets.sources import rejected as rows
    from analytics_assets.sources.declared import SOURCES
    from analytics_assets.sources.ledger import loaded_to

    if source is not None and source not in SOURCES:
        raise click.ClickException(f"{source!r} is no source; known: {', '.join(SOURCES)}.")
    warehouse = build_warehouse(settings)
    with project_errors():
        reasons = rows.reasons(warehouse, source)
        _print_rejected(reasons, rows.counts(warehouse, source))
        if file is not None:
            click.echo(f"{rows.export(warehouse, file, source):,} rows written to {file}.")
        end = loaded_to(warehouse)
        if not replay:
            return
        days = rows.days_to_replay(warehouse, source, end - timedelta(days=1)) if end else []
    with_rejected = {name for name, *_ in reasons}
    own_jobs = [name for name, one in SOURCES.items() if one.job and name in with_rejected]
    if not days and not own_jobs:
        click.echo("There is nothing to replay.")
        return
    code = materialize(settings, rows.windows_of(days), False, own_jobs)
    with project_errors():
        _print_rejected(rows.reasons(warehouse, source), rows.counts(warehouse, source))
    sys.exit(code)


def _print_rejected(
    reasons: list[tuple[str, str, int, Any, Any]], counts: list[tuple[str, int]]
) -> None:
    if not reasons:
        click.echo("No rejected rows.")
        return
    for source, rows in counts:
        click.echo(f"{source}: {rows:,} rejected rows")
    # A row may have several reasons: these add up to more than the rows.
    click.echo(f"{'source':<16}{'rows':>9}  {'days':<25}reason")
    for source, reason, rows, first, last in reasons:
        days = "" if first is None else str(first) if first == last else f"{first} to {last}"
        click.echo(f"{source:<16}{rows:>9,}  {days:<25}{reason}")
