"""Calling dbt, within this process.

Belongs here: parsing the project, running a command over it, and what it says. Does not belong
here: the assets that are made of the project (`assets.dbt`), or SQL (the project itself).

A process of dbt's own costs five to ten seconds before its first statement: an interpreter, imports
and the parsed project. Here the imports are paid for once, and the parsed project is unpickled.
"""

import hashlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from dagster._utils.interrupts import raise_interrupts_as

from analytics_assets.partitions import Window
from analytics_assets.settings import Settings

_DBT_FILES = (".sql", ".yml", ".md")
_ONE_AT_A_TIME = threading.Lock()  # dbt keeps its flags, adapters and loggers in globals


@contextmanager
def without_dbt() -> Iterator[None]:
    """Imports of dagster-dbt within find no dbt: it takes its own words for dbt's few constants.

    Otherwise every load of the definitions would import dbt, as long as all the rest takes.
    """
    absent = "dbt.version" not in sys.modules
    if absent:
        sys.modules["dbt.version"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["dbt.version"]


class DbtProjectError(RuntimeError):
    """dbt cannot parse the project; the message is dbt's."""


class DbtError(RuntimeError):
    """A command of dbt failed; the message has dbt's errors."""


def prepare_manifest(settings: Settings) -> Path:
    """Parse the dbt project unless it has been parsed as it is.

    Dagster's own `prepare_if_dev` acts only under its dev command line.

    Raises:
        DbtProjectError: dbt cannot parse the project; the message is dbt's.
    """
    manifest = settings.dbt_target_dir / "manifest.json"
    parsed = settings.dbt_target_dir / "parsed.txt"
    content = _parsed_content(settings)
    # By content: an image or a rollback brings new code with old times.
    if (
        manifest.is_file()
        and _pickled(settings).is_file()
        and parsed.is_file()
        and parsed.read_text() == content
    ):
        return manifest
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    target, environment = settings.dbt_target_dir, dbt_environment(settings)
    result = _call(settings, ["--quiet", "parse"], target, environment, None, _errors_to(errors))
    if not result.success:
        raise DbtProjectError(f"dbt cannot parse the project:\n{_said(result, errors)}")
    beside = _pickled(settings).with_suffix(".part")
    # dbt mixes its look-ups up when it is unpickled, and makes those anew that are not there.
    for field in fields(result.result):
        if field.name.endswith("_lookup"):
            setattr(result.result, field.name, None)
    beside.write_bytes(pickle.dumps(result.result))
    beside.replace(_pickled(settings))
    parsed.write_text(content)
    return manifest


def _parsed_content(settings: Settings) -> str:
    """What the parsed project follows from."""
    digest = hashlib.sha256()
    for path in sorted(settings.dbt_project_dir.rglob("*")):
        if path.suffix in _DBT_FILES:
            name = path.relative_to(settings.dbt_project_dir)
            digest.update(f"{name}\0".encode() + path.read_bytes())
    # Whether tests block, warn or are off is read when the project is parsed.
    version = metadata.version("dbt-core")
    return f"{digest.hexdigest()} {settings.deployment} {settings.checks['dbt']} {version}"


def _pickled(settings: Settings) -> Path:
    return settings.dbt_target_dir / "manifest.pickle"


class DbtCommand:
    """Runs dbt commands over the project of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(
        self,
        arguments: Sequence[str],
        target: Path,
        window: Window | None,
        listen: Callable[[dict[str, Any]], None] = lambda event: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command and wait for its end.

        The warehouse is open, read and write, until then, and closed in any case.

        Args:
            arguments: the command and its options, without those of project and profile.
            target: folder of dbt's artifacts.
            window: what the models read and write; in the environment, as vars would have the
                project parsed again.
            listen: takes the result of each model and test, as dbt's structured log has it.
            environment: further variables that the project reads.

        Raises:
            DbtError: a model or a test failed.
            KeyboardInterrupt: the process was asked to end; running statements were interrupted.
        """
        manifest = pickle.loads(_pickled(self._settings).read_bytes())
        errors: list[str] = []
        report = _errors_to(errors)

        def heard(message: Any) -> None:
            from dbt_common.events.functions import msg_to_dict

            if message.info.name.startswith("Log") and message.info.name.endswith("Result"):
                listen(msg_to_dict(message))
            report(message)

        variables = {**dbt_environment(self._settings, window), **(environment or {})}
        result = _call(self._settings, arguments, target, variables, manifest, heard)
        if isinstance(result.exception, KeyboardInterrupt):
            raise result.exception
        if not result.success:
            raise DbtError(f"dbt {arguments[0]} failed:\n{_said(result, errors)}")


def dbt_environment(settings: Settings, window: Window | None = None) -> dict[str, str]:
    """Environment variables that the dbt project reads."""
    environment = dict(settings.dbt_environment)
    if window:
        environment["ANALYTICS_WINDOW_START"] = window.start.isoformat()
        environment["ANALYTICS_WINDOW_END"] = window.end.isoformat()
    return environment


def _call(
    settings: Settings,
    arguments: Sequence[str],
    target: Path,
    environment: Mapping[str, str],
    manifest: Any,
    heard: Callable[[Any], None],
) -> Any:
    # Imported here: dbt costs two seconds, and loading the definitions needs none of it.
    root = logging.getLogger()
    handlers = [*root.handlers]
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import cleanup_connections
    from dbt.cli.main import dbtRunner
    from dbt_common.events.event_manager_client import cleanup_event_logger

    root.handlers = handlers  # some import of dbt's adds one, which would print Dagster's log again
    folder = Path.cwd()
    options = {
        "--project-dir": settings.dbt_project_dir,
        "--profiles-dir": settings.dbt_project_dir,
        "--target": settings.deployment,
        "--target-path": target,
        "--log-path": target,
        "--log-format": "text",
        "--log-level-file": "none",  # what failed is in the error, and the SQL in the target
    }
    command = [*arguments, "--no-use-colors", *(str(word) for o in options.items() for word in o)]
    if manifest is not None:
        command.append("--no-write-json")
    with (
        _ONE_AT_A_TIME,
        _environment(environment),
        # dbt interrupts its statements on this one, and not on Dagster's.
        raise_interrupts_as(KeyboardInterrupt),
    ):
        try:
            return dbtRunner(manifest, [heard]).invoke(command)
        finally:
            # dbt would keep the file open, and with it the file's lock.
            cleanup_connections()
            if DuckDBConnectionManager._ENV:
                DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()
            cleanup_event_logger()
            os.chdir(folder)


def _errors_to(errors: list[str]) -> Callable[[Any], None]:
    def heard(message: Any) -> None:
        if message.info.level == "error":
            errors.append(message.info.msg)

    return heard


def _said(result: Any, errors: Sequence[str]) -> str:
    return "\n".join(errors) or str(result.exception)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
