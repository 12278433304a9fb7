"""The Dagster instance: DAGSTER_HOME and its dagster.yaml.

Belongs here: the settings with which runs share one warehouse file safely.
"""

from pathlib import Path

import yaml

from analytics_assets.settings import Settings


def prepare_instance(settings: Settings) -> Path:
    """Create DAGSTER_HOME and write its dagster.yaml, unless a team has put its own there.

    Returns:
        The folder, for the environment variable DAGSTER_HOME.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.is_file():
        temporary = file.with_suffix(".part")
        temporary.write_text(
            yaml.safe_dump(instance_config(home), sort_keys=False), encoding="utf-8"
        )
        temporary.replace(file)
    return home


def instance_config(home: Path) -> dict[str, object]:
    """The content of dagster.yaml."""
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
            "config": {"base_dir": str(home / "history" / "runs")},
        },
    }
