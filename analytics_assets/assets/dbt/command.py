"""Running dbt within this process.

Belongs here: parsing the project, running a command, and its messages. Does not belong here: the
assets of the project (`assets.dbt.models`), or SQL (the project itself).

A separate dbt process takes five to ten seconds before its first statement, to start the
interpreter, import dbt and parse the project. Here dbt is imported once, and reads the project as
last parsed.
"""

import fcntl
import hashlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from analytics_assets.compat.dbt import call_dbt
from analytics_assets.partitions import Window
from analytics_assets.settings import Settings
from analytics_assets.warehouse.damage import remedy, set_aside

_DBT_FILES = (".sql", ".yml", ".md")
_LOG = logging.getLogger(__name__)
_ONE_AT_A_TIME = threading.Lock()  # dbt's flags, adapters and loggers are global


class DbtProjectError(RuntimeError):
    """dbt cannot parse the project; the message is dbt's."""


class DbtError(RuntimeError):
    """A command of dbt failed; the message has dbt's errors."""


def prepare_manifest(settings: Settings) -> Path:
    """Parse the dbt project unless it is unchanged since it was parsed last.

    Dagster's own `prepare_if_dev` works only under its dev command line.

    Raises:
        DbtProjectError: dbt cannot parse the project; the message is dbt's.
    """
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    with (settings.dbt_target_dir / "parsing.lock").open("w") as lock:
        # Another process that starts now would read a manifest that is half written.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _parse(settings)


def _parse(settings: Settings) -> Path:
    manifest = settings.dbt_target_dir / "manifest.json"
    parsed = settings.dbt_target_dir / "parsed.txt"
    content = _parsed_content(settings)
    # By content, not by time: an image or a rollback brings new code with old times.
    if (
        manifest.is_file()
        and _saved_parse(settings).is_file()
        and parsed.is_file()
        and parsed.read_text(errors="replace") == content
        and not damaged_parse(settings, _set_parse_aside)
    ):
        return manifest
    errors: list[str] = []
    target, environment = settings.dbt_target_dir, dbt_environment(settings)
    result = _call(settings, ["--quiet", "parse"], target, environment, _errors_to(errors))
    if not result.success:
        raise DbtProjectError(f"dbt cannot parse the project:\n{_message(result, errors)}")
    _sums(settings).write_text(json.dumps({f.name: _sum(f) for f in _parse_files(settings)}))
    parsed.write_text(content)
    return manifest


def damaged_parse(
    settings: Settings, treat: Callable[[Path], object] = lambda file: None
) -> list[Path]:
    """The files of dbt's parse that are not what was written; the project can be parsed again.

    Args:
        settings: the settings.
        treat: is called with each of them.
    """
    files = [file for file in _parse_files(settings) if file.is_file()]
    try:
        sums = json.loads(_sums(settings).read_text())
        damaged = [file for file in files if _sum(file) != sums[file.name]]
    except FileNotFoundError:
        return []  # parsed by an earlier version
    except (ValueError, KeyError, TypeError):
        damaged = files
    for file in damaged:
        treat(file)
    return damaged


def _set_parse_aside(file: Path) -> None:
    place = set_aside(file)
    _LOG.warning(f"{file} is damaged: set aside as {place}, and dbt parses the project again.")


def _parse_files(settings: Settings) -> tuple[Path, Path]:
    return settings.dbt_target_dir / "manifest.json", _saved_parse(settings)


def _sums(settings: Settings) -> Path:
    """Checksums of the files of a parse."""
    return settings.dbt_target_dir / "parsed.sums"


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _parsed_content(settings: Settings) -> str:
    """Everything that the parsed project depends on."""
    digest = hashlib.sha256()
    for path in sorted(settings.dbt_project_dir.rglob("*")):
        if path.suffix in _DBT_FILES:
            name = path.relative_to(settings.dbt_project_dir)
            digest.update(f"{name}\0".encode() + path.read_bytes())
    # Parsing reads the policy of the tests and the profile.
    policy, profile = settings.checks["dbt"], (settings.warehouse_path, settings.memory_limit)
    version = metadata.version("dbt-core")
    return " ".join(map(str, (digest.hexdigest(), settings.deployment, policy, *profile, version)))


def _saved_parse(settings: Settings) -> Path:
    """Where dbt keeps the parsed project."""
    return settings.dbt_target_dir / "partial_parse.msgpack"


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

        dbt has the warehouse open for writing until then.

        Args:
            arguments: the command and its options, without those of project and profile.
            target: folder of dbt's artifacts.
            window: the days that the models read and write. It is passed in the environment: vars
                would make dbt parse the project again.
            listen: receives the result of each model and test, as in dbt's structured log.
            environment: further variables that the project reads.

        Raises:
            DbtError: a model or a test failed.
            KeyboardInterrupt: the process was told to stop; running statements were interrupted.
        """
        errors: list[str] = []
        report = _errors_to(errors)

        def receive(message: Any) -> None:
            from dbt_common.events.functions import msg_to_dict

            if message.info.name.startswith("Log") and message.info.name.endswith("Result"):
                listen(msg_to_dict(message))
            report(message)

        variables = {**dbt_environment(self._settings, window), **(environment or {})}
        saved = ["--partial-parse-file-path", str(_saved_parse(self._settings))]
        command = [*arguments, *saved, "--no-write-json"]
        result = _call(self._settings, command, target, variables, receive)
        if isinstance(result.exception, KeyboardInterrupt):
            raise result.exception
        if not result.success:
            message = _message(result, errors)
            # The file of the warehouse may be damaged: that is one line with a remedy.
            message = remedy(message) or message
            raise DbtError(f"dbt {arguments[0]} failed:\n{message}")


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
    listen: Callable[[Any], None],
) -> Any:
    options = {
        "--project-dir": settings.dbt_project_dir,
        "--profiles-dir": settings.dbt_project_dir,
        "--target": settings.deployment,
        "--target-path": target,
        "--log-path": target,
        "--log-format": "text",
        "--log-level-file": "none",  # the error has the messages, and the target folder the SQL
    }
    command = [*arguments, "--no-use-colors", *(str(word) for o in options.items() for word in o)]
    folder = Path.cwd()
    with _ONE_AT_A_TIME, _environment(environment), _interruptible():
        try:
            return call_dbt(command, listen)
        finally:
            os.chdir(folder)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, on which dbt interrupts its statements."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _errors_to(errors: list[str]) -> Callable[[Any], None]:
    def listen(message: Any) -> None:
        if message.info.level == "error":
            errors.append(message.info.msg)

    return listen


def _message(result: Any, errors: Sequence[str]) -> str:
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
