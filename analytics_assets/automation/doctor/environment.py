"""The doctor's checks of what surrounds a home: packages, settings, disk, sources, backups."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from analytics_assets.automation.doctor.findings import (
    ERROR,
    OK,
    WARNING,
    Context,
    Finding,
    one_line,
)
from analytics_assets.settings import PROJECT_ROOT
from analytics_assets.sources.config import SourceConfigError
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.files import FileReader
from analytics_assets.warehouse.backup import last_backup

GIB = 1024**3
FULL = 0.9  # share of the disk
BACKUP_AGE = timedelta(days=7)


def packages(context: Context) -> Iterator[Finding]:
    """Installed versions against the ranges of setup.cfg, and those that were tested together."""
    required = [Requirement(text) for text in _required()]
    wrong = []
    for one in required:
        try:
            installed = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is not installed (needed: {one.specifier})")
            continue
        if not one.specifier.contains(Version(installed), prereleases=True):
            wrong.append(f"{one.name} {installed} is installed (needed: {one.specifier})")
    if wrong:
        yield Finding(
            "packages",
            ERROR,
            "; ".join(wrong) + ".",
            "Install the versions of constraints.txt: pip install -c constraints.txt -e .",
        )
        return
    names = {one.name.lower() for one in required}
    pinned = _pinned()
    other = [
        f"{name} {metadata.version(name)} instead of {pinned[name]}"
        for name in sorted(names & pinned.keys())
        if metadata.version(name) != pinned[name]
    ]
    if other:
        yield Finding(
            "packages",
            WARNING,
            f"Within their ranges, but not as tested: {', '.join(other)}.",
            "Install the versions of constraints.txt: pip install -c constraints.txt -e .",
        )
    else:
        yield Finding("packages", OK, f"{len(required)} packages have versions that were tested.")


def _required() -> list[str]:
    """What the package needs, as it is installed, or by setup.cfg of a checkout."""
    try:
        texts = metadata.requires("analytics_assets") or []
    except metadata.PackageNotFoundError:
        setup = (PROJECT_ROOT / "setup.cfg").read_text(encoding="utf-8")
        needed = setup.partition("install_requires =")[2].partition("\n\n")[0]
        texts = [line.strip() for line in needed.splitlines()]
    return [text for text in texts if text and "extra ==" not in text and text[0] != "#"]


def _pinned() -> dict[str, str]:
    file = PROJECT_ROOT / "constraints.txt"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return {name.lower(): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", text)}


def disk(context: Context) -> Iterator[Finding]:
    """Room for another warehouse and a published build."""
    place = next(p for p in (context.settings.home, *context.settings.home.parents) if p.exists())
    usage = shutil.disk_usage(place)
    warehouse = context.settings.warehouse_path
    needed = 2 * (warehouse.stat().st_size if warehouse.is_file() else 0)
    text = f"{usage.free / GIB:.1f} GiB of {usage.total / GIB:.1f} GiB are free."
    remedy = "Make room, or move ANALYTICS_HOME to a larger disk."
    if usage.free < needed:
        yield Finding("disk", ERROR, f"{text} A run can need {needed / GIB:.1f} GiB.", remedy)
    elif usage.used > FULL * usage.total:
        yield Finding("disk", WARNING, text, remedy)
    else:
        yield Finding("disk", OK, text)


def sources(context: Context) -> Iterator[Finding]:
    """Whether the configuration is right, and the files are there; no row is read."""
    try:
        configured = context.sources
    except SourceConfigError as error:
        yield Finding("sources", ERROR, one_line(error), "Correct the file of ANALYTICS_SOURCES.")
        return
    for name, config in configured.sources.items():
        reader = reader_of(config)
        if reader.fetches or not isinstance(reader, FileReader):
            what = "a database, which is not opened"
            if reader.fetches:
                what = "an API, which is not called"
            yield Finding("sources", OK, f"{name}: {what} here (analytics-assets check-sources).")
            continue
        try:
            files = reader.files() or []
        except SourceError as error:
            yield Finding("sources", ERROR, one_line(error), "Correct what the line names.")
            continue
        if files:
            yield Finding("sources", OK, f"{name}: {len(files):,} files.")
        else:
            yield Finding(
                "sources",
                ERROR,
                f"{name}: no file at {config.path}.",
                "Correct its path in ANALYTICS_SOURCES, or deliver the files.",
            )


def backup(context: Context) -> Iterator[Finding]:
    """When the last backup was written, and whether it is there."""
    last = last_backup(context.settings.home)
    remedy = "Write one: analytics-assets backup DIR."
    if last is None:
        state = OK if context.settings.deployment == "dev" else WARNING
        yield Finding("backup", state, "No backup was written yet.", remedy if state != OK else "")
        return
    place, at = last
    age = datetime.now(UTC) - at
    text = f"The last backup is {place}, {age.days} days old."
    if not Path(place).is_dir():
        text, state = f"The last backup, {place}, is not there any more.", WARNING
    else:
        state = WARNING if age > BACKUP_AGE else OK
    yield Finding("backup", state, text, remedy if state != OK else "")
