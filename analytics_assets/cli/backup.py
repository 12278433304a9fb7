"""Commands that write a backup of the home and put one back."""

import hashlib
from pathlib import Path

import click

from analytics_assets.cli.common import open_instance, project_errors, read_settings
from analytics_assets.settings import VARIABLES, Settings


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(1), default=7, show_default=True, help="Of the folder.")
@click.option("--no-wait", is_flag=True, help="End with an error if a run is at work.")
def backup(folder: Path, keep: int, no_wait: bool) -> None:
    """Write a backup of the home into FOLDER: what cannot be built again from the sources.

    The warehouse, the published builds, Dagster's storage, the models and the keys of the API, with
    checksums. It waits for a run that is at work, and runs wait for it.
    """
    from importlib import metadata

    from analytics_assets.automation.backups import turn
    from analytics_assets.definitions import build_warehouse
    from analytics_assets.warehouse.backup import write_backup

    settings = read_settings()
    facts = {
        "settings": settings_fingerprint(settings),
        "versions": {name: metadata.version(name) for name in ("duckdb", "dagster", "mlflow")},
    }
    with project_errors(), open_instance(settings) as instance:
        in_files = not uses_postgres(settings)
        lock = settings.occupancy_path
        with turn(instance, lock, lambda line: click.echo(line, err=True), wait=not no_wait):
            place = write_backup(
                settings.home, build_warehouse(settings), folder.resolve(), facts, keep, in_files
            )
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    click.echo(f"{place}: {size / 1e6:,.1f} MB.")
    if not in_files:
        click.echo(
            "Runs and events are in PostgreSQL, not in this backup: write them with pg_dump at the "
            "same time."
        )
    if settings.mlflow_uri:
        click.echo("Models are in an MLflow server, not in this backup.")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def restore(folder: Path) -> None:
    """Make the backup in FOLDER the home, and set the present home aside.

    FOLDER is one backup, or a folder of backups, of which the newest is taken. Stop the daemon, the
    webserver and all runs first.
    """
    from dagster import DagsterInstance

    from analytics_assets.automation.backups import (
        end_restored_runs,
        living_runs,
        require_unused,
    )
    from analytics_assets.warehouse.backup import MANIFEST, backups, put_back, verify

    settings = read_settings()
    chosen = folder.resolve()
    if not (chosen / MANIFEST).is_file() and backups(chosen):
        chosen = backups(chosen)[-1]
    with project_errors():
        manifest = verify(chosen)
        require_unused(settings.home, _living(settings, living_runs))
        if manifest.get("settings") != settings_fingerprint(settings):
            click.echo("Settings are other than when the backup was written.", err=True)
        put_back(chosen, settings.home, click.echo)
        if not uses_postgres(settings) and (settings.dagster_home / "dagster.yaml").is_file():
            with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
                end_restored_runs(instance)
    click.echo("Now: analytics-assets run. It loads what has changed since.")


def _living(settings: Settings, living_runs):  # type: ignore[no-untyped-def]
    """Runs of the present home that live; none where its instance does not open."""
    from dagster import DagsterInstance

    if not (settings.dagster_home / "dagster.yaml").is_file():
        return []
    try:
        with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            return living_runs(instance)
    except Exception as error:
        click.echo(f"Runs of the present home are not known: {type(error).__name__}.", err=True)
        return []


def uses_postgres(settings: Settings) -> bool:
    """Whether Dagster's storage is in PostgreSQL, by dagster.yaml."""
    file = settings.dagster_home / "dagster.yaml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return "postgres" in text


def settings_fingerprint(settings: Settings) -> str:
    """Hash of the settings that decide what is in the home; no secret is in it."""
    shown = {
        name: str(getattr(settings, name))
        for name, setting in VARIABLES.values()
        if not setting.secret
    }
    return hashlib.sha256(repr(sorted(shown.items())).encode()).hexdigest()[:16]
