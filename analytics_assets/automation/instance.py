"""The Dagster instance: DAGSTER_HOME and its dagster.yaml.

Belongs here: the settings with which runs share one warehouse file safely, and where Dagster keeps
its records. Does not belong here: the storages themselves (`event_log`, `postgres_storage`).
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import yaml

from analytics_assets.settings import Settings, SettingsError

OURS = (
    "# Written by `analytics-assets prepare` from the settings, again whenever they change.\n"
    "# Without these two lines the file is yours, and is left as it is.\n"
)
POSTGRES_CLASS = {
    "module": "analytics_assets.automation.postgres_storage",
    "class": "PostgresStorage",
}


def prepare_instance(settings: Settings) -> Path:
    """Create DAGSTER_HOME and write its dagster.yaml, unless a team has put its own there.

    Returns:
        The folder, for the environment variable DAGSTER_HOME.

    Raises:
        SettingsError: the file of the team has its records elsewhere than the settings say, or the
            package for PostgreSQL is not installed.
    """
    if settings.dagster_storage == "postgres" and not importlib.util.find_spec("dagster_postgres"):
        raise SettingsError(
            "ANALYTICS_DAGSTER_STORAGE is postgres, and dagster-postgres is not installed: install "
            "the extra production (pip install 'analytics_assets[production]')."
        )
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    config = instance_config(settings)
    text = OURS + yaml.safe_dump(config, sort_keys=False)
    before = file.read_text(encoding="utf-8") if file.is_file() else None
    if before is not None and not _is_ours(before, settings):
        _require_same_storage(file, yaml.safe_load(before) or {}, settings)
    elif before != text:
        # Several services may start at once.
        temporary = file.with_suffix(f".{os.getpid()}.part")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    return home


def _is_ours(text: str, settings: Settings) -> bool:
    """Whether we wrote it; files of before had no line that says so."""
    return text.startswith(OURS) or yaml.safe_load(text) == _without_postgres(settings)


def _require_same_storage(file: Path, config: dict[str, Any], settings: Settings) -> None:
    storage = config.get("storage") or {}
    postgres = "postgres" in storage or POSTGRES_CLASS["module"] in str(storage)
    if postgres != (settings.dagster_storage == "postgres"):
        raise SettingsError(
            f"{file} has Dagster's records {'in PostgreSQL' if postgres else 'on this machine'}, "
            f"and ANALYTICS_DAGSTER_STORAGE is {settings.dagster_storage}. Change one of them, or "
            "remove the file to have it written from the settings."
        )


def instance_config(settings: Settings) -> dict[str, Any]:
    """The content of dagster.yaml."""
    config = _without_postgres(settings)
    if settings.dagster_storage == "postgres":
        del config["event_log_storage"]
        config["storage"] = {"custom": {**POSTGRES_CLASS, "config": {}}}
    return config


def _without_postgres(settings: Settings) -> dict[str, Any]:
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # A pool without a limit has no effect. Its slot is the run's: between the steps of one run
        # no other is launched, but waits in the queue.
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 30,
            # Without a limit, a run whose worker was killed stays STARTED.
            "max_runtime_seconds": 4 * 60 * 60,
            # A cancelled run would otherwise keep its slot of the pool.
            "free_slots_after_run_end_seconds": 30,
        },
        "retention": {
            "schedule": {"purge_after_days": 30},
            "sensor": {
                "purge_after_days": {"skipped": 7, "failure": 30, "success": 30, "started": 30}
            },
        },
        "event_log_storage": {
            "module": "analytics_assets.automation.event_log",
            "class": "PooledSqliteEventLogStorage",
            "config": {"base_dir": str(settings.dagster_home / "history" / "runs")},
        },
    }
