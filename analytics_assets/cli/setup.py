"""Commands that set up the instance, start the development server, and print the settings."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from analytics_assets.addresses import FILE
from analytics_assets.cli.common import open_instance, prepare, project_errors, read_settings
from analytics_assets.settings import (
    PROJECT_ROOT,
    VARIABLES,
)


# No -h for help: in Dagster it is the host.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dev(arguments: tuple[str, ...]) -> None:
    """Set the instance up and start `dg dev`; further arguments go to it.

    If dg is not installed, `dagster dev` is started.
    """
    settings = read_settings()
    with project_errors():
        prepare(settings)
    folder = Path(sys.executable).parent
    command = next(folder / name for name in ("dg", "dagster") if (folder / name).exists())
    # With workspace.yaml, not pyproject.toml: works from any folder, and keeps its relative paths.
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    os.execv(command, [str(command), "dev", "-w", workspace, *arguments])  # noqa: S606


@click.command("prepare")
def prepare_command() -> None:
    """Set the instance up (DAGSTER_HOME, its dagster.yaml, dbt's manifest) and print its folder."""
    from analytics_assets.automation.doctor.instance import storages_behind

    settings = read_settings()
    with project_errors(), open_instance(settings) as instance:
        behind = storages_behind(instance)
        if behind:
            # As `dagster instance migrate` does, after an upgrade of Dagster.
            instance.upgrade()
            click.echo(f"Dagster's storage was migrated ({', '.join(behind)}).", err=True)
    click.echo(settings.dagster_home)


SETTINGS_PAGE = """# Settings

Every setting is an environment variable. `analytics-assets settings` prints the values in use. This
page is written by `make docs` from `analytics_assets/settings.py`.

"""


@click.command()
@click.option(
    "--markdown", is_flag=True, help="Print the page of the documentation, without values."
)
def settings(markdown: bool) -> None:
    """Print every setting: its value, where the value comes from, and what it means."""
    if markdown:
        click.echo(SETTINGS_PAGE + _settings_table())
        return
    values = read_settings()
    for variable, (name, setting) in VARIABLES.items():
        is_set, in_file = (bool(os.environ.get(variable + end, "").strip()) for end in ("", FILE))
        value = getattr(values, name)
        if value is None:
            value = setting.shown or "none"
        elif setting.secret:
            value = "(set, not shown)"
        elif isinstance(value, Mapping):
            value = ", ".join(f"{family}={policy}" for family, policy in value.items())
        elif isinstance(value, tuple):
            value = ", ".join(value)
        origin = "environment" if is_set else "file" if in_file and setting.secret else "default"
        click.echo(f"{variable} = {value}  ({origin})\n    {setting.meaning}")


def _settings_table() -> str:
    """All settings as a table in Markdown."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for variable, (_, setting) in VARIABLES.items():
        default = setting.shown or setting.default or "none"
        in_dev = "; none outside dev" if setting.dev_only else ""
        variables = f"`{variable}`" + (f", `{variable}{FILE}`" if setting.secret else "")
        lines.append(f"| {variables} | {default}{in_dev} | {setting.meaning} |")
    return "\n".join(lines)
