"""The doctor's checks of the files next to the warehouse: is each of them whole.

Belongs here: Dagster's and MLflow's SQLite files, dbt's parse and the cache of source files. Does
not belong here: the warehouse and its published copies (`tables`).

A file that is set aside is renamed, with the time in its name, and never deleted.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.assets.dbt.command import damaged_parse
from analytics_assets.automation.doctor.findings import ERROR, OK, WARNING, Context, Finding
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.damage import set_aside

JOURNALS = ("-wal", "-shm", "-journal")
MEND = "analytics-assets doctor --mend sets it aside"


def sqlite_damage(path: Path) -> str:
    """What is wrong with a SQLite file, by reading all of it; empty if it is whole."""
    if path.stat().st_size == 0:
        return "the file is empty"
    try:
        # Read-only: a check creates nothing, and waits for no other process.
        with closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)
        ) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        return "" if "locked" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if verdict == "ok" else str(verdict).splitlines()[0]


def set_sqlite_aside(path: Path) -> Path:
    """Set a SQLite file aside, with the journals that belong to it."""
    for journal in JOURNALS:
        file = path.with_name(f"{path.name}{journal}")
        if file.exists():
            set_aside(file)
    return set_aside(path)


def dagster_files(context: Context) -> Iterator[Finding]:
    """Dagster's runs, events and schedules, where they are in SQLite."""
    home = context.settings.dagster_home
    shared = [home / "schedules" / "schedules.db", home / "history" / "runs.db"]
    index = home / "history" / "runs" / "index.db"
    logs = sorted(index.parent.glob("*.db"))
    files = [file for file in (*shared, index, *logs) if file.is_file()]
    damaged = {file: sqlite_damage(file) for file in dict.fromkeys(files)}
    wrong = {file: text for file, text in damaged.items() if text}
    for file, text in wrong.items():
        name = file.relative_to(home)
        effect = "a new one begins"
        if file == index:
            effect += ", and analytics-assets run loads all days again, as no event says otherwise"
        elif file not in shared:
            effect = "the log of that run is lost"
        if context.mend:
            place = set_sqlite_aside(file)
            mended = f"Set aside as {place.name}: {effect}."
            yield Finding("dagster_files", OK, f"{name} was damaged: {text}.", mended=mended)
        else:
            yield Finding(
                "dagster_files",
                ERROR,
                f"{name} is damaged: {text}.",
                f"{MEND}; {effect}. Stop the daemon and the webserver first. Or restore a backup.",
            )
    if not wrong:
        yield Finding("dagster_files", OK, f"{len(files):,} files of runs and events are whole.")


def mlflow_file(context: Context) -> Iterator[Finding]:
    """The database of the models, where it is in the home: whole, and not without its models."""
    file = context.settings.mlflow_dir / "mlflow.db"
    if context.settings.mlflow_uri:
        yield Finding("mlflow_file", OK, "Models are in an MLflow server.")
        return
    registries = [
        model_registry(context.settings, name) for name, source in SOURCES.items() if source.model
    ]
    damage = sqlite_damage(file) if file.is_file() else ""
    text = f"is damaged: {damage}" if damage else ""
    if not damage and any(registry.has_lost_versions() for registry in registries):
        text = "is gone, or has lost its models"
    if not text:
        whole = "The database of the models is whole."
        yield Finding("mlflow_file", OK, whole if file.is_file() else "No model was trained yet.")
    elif not context.mend:
        yield Finding(
            "mlflow_file",
            ERROR,
            f"mlflow/mlflow.db {text}. The last good model scores meanwhile.",
            f"{MEND} and registers the models again from their files. Or restore a backup.",
        )
    else:
        # One that is whole stays: MLflow has it open in this process.
        aside = f"Set aside as {set_sqlite_aside(file).name}; " if damage else ""
        restored = sum(len(registry.restore()) for registry in registries)
        yield Finding(
            "mlflow_file",
            OK if restored else WARNING,
            f"mlflow/mlflow.db {text}.",
            "" if restored else "Train again: analytics-assets run, or the job retrain.",
            f"{aside}{restored} models are registered again.",
        )


def derived_files(context: Context) -> Iterator[Finding]:
    """The parse of dbt and the cache of source files: any run makes them again."""
    files = damaged_parse(context.settings)
    cache = context.warehouse.source_cache
    if cache.is_file() and sqlite_damage(cache):
        files.append(cache)
    for file in files:
        mended = f"Set aside as {set_aside(file).name}." if context.mend else ""
        yield Finding(
            "derived_files",
            OK if mended else WARNING,
            f"{file.name} {'was' if mended else 'is'} damaged.",
            "" if mended else "Nothing: the next run sets it aside and makes it again.",
            mended,
        )
    if not files:
        yield Finding("derived_files", OK, "dbt's parse and the cache of source files are whole.")
