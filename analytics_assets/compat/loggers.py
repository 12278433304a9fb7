"""Hooks into Dagster's loggers: runs log to the console as JSON.

A run whose configuration names no logger, as all do that the UI, a schedule or a sensor starts,
gets Dagster's coloured text logger, whatever loggers the definitions have.
"""

import logging
from typing import Any

from dagster import LoggerDefinition, logger
from dagster._core.execution import context_creation_job, host_mode
from dagster._core.utils import coerce_valid_log_level
from dagster._loggers import colored_console_logger

from analytics_assets.json_logs import JsonFormatter


@logger(colored_console_logger.config_schema, description="An object a line, to the console.")
def json_logger(context: Any) -> logging.Logger:
    """The logger of a run."""
    config = context.logger_config
    made = logging.getLoggerClass()(config["name"], coerce_valid_log_level(config["log_level"]))
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    made.addHandler(handler)
    return made


def log_as_json() -> None:
    """Let all runs that this process executes log as JSON."""
    for module in (context_creation_job, host_mode):
        module.default_system_loggers = _loggers  # type: ignore[attr-defined]


def _loggers(instance: Any) -> list[tuple[LoggerDefinition, dict[str, object]]]:
    level = (instance.python_log_level if instance else None) or "DEBUG"
    return [(json_logger, {"name": "dagster", "log_level": level})]
