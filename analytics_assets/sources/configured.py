"""The sources of a deployment: the team's configuration, or the generated sample.

Belongs here: where the configuration comes from. Does not belong here: its words (`config`), or
reading them from YAML (`config_file`).
"""

import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

from analytics_assets.addresses import FILE
from analytics_assets.partitions import Calendar
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.readers import reader_of

# The default span of `write_sample`; the manifest has the span of the existing sample.
DEFAULT_SAMPLE_CALENDAR = Calendar(date(2024, 1, 1), date(2026, 1, 1))


def configured_sources(settings: Settings) -> SourcesConfig:
    """The sources of the settings: the team's configuration, or the generated sample.

    Raises:
        SourceConfigError: the configuration is wrong, or outside dev an address that it needs is
            not set.
    """
    if settings.sources_file is not None:
        sources = load_sources(settings.sources_file)
        if settings.deployment != "dev":
            _require_addresses(sources)
        return _with_places(sources, settings.home / "fetched")
    manifest = settings.sample_dir / "manifest.json"
    if not manifest.is_file():
        return sample_sources(settings.sample_dir, DEFAULT_SAMPLE_CALENDAR)
    span = json.loads(manifest.read_text(encoding="utf-8"))
    calendar = Calendar(date.fromisoformat(span["start"]), date.fromisoformat(span["end"]))
    return sample_sources(settings.sample_dir, calendar)


def _with_places(sources: SourcesConfig, folder: Path) -> SourcesConfig:
    """The sources, with the folders of those whose rows are fetched."""
    return replace(
        sources,
        sources={
            name: replace(config, path=str(folder / name)) if reader_of(config).fetches else config
            for name, config in sources.sources.items()
        },
    )


def _require_addresses(sources: SourcesConfig) -> None:
    variables = {
        variable: name
        for name, config in sources.sources.items()
        for variable in (config.connection_env, config.options.get("token_env"))
    }
    missing = [
        f"{variable} (of {name})"
        for variable, name in variables.items()
        if variable and not any(os.environ.get(variable + end) for end in ("", FILE))
    ]
    if missing:
        raise SourceConfigError(
            f"Not set: {', '.join(missing)}. Set each to the address of the database, or the "
            f"secret of the API, or the variable with {FILE} to a file that contains it."
        )


def sample_sources(directory: Path, calendar: Calendar) -> SourcesConfig:
    """The configuration of the generated sample in a folder."""
    return SourcesConfig(
        calendar,
        {
            name: SourceConfig(name, str(directory / source.sample), **source.sample_words)
            for name, source in SOURCES.items()
            if source.sample
        },
    )
