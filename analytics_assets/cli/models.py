"""Commands for the churn models: list and roll back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from analytics_assets.cli.common import clear_errors, read_settings

SOURCE_OF_MODEL = click.option(
    "--source", default="orders", show_default=True, help="What the model is trained on."
)
OF_SUBSCRIPTIONS = click.option(
    "--subscriptions", "source", flag_value="subscriptions", help="The model of subscribers."
)


@click.group()
def model() -> None:
    """List the churn models, or roll back to an earlier one."""


@model.command("list")
@SOURCE_OF_MODEL
@OF_SUBSCRIPTIONS
def list_models(source: str) -> None:
    """List the registered versions of the churn model, newest first; the champion predicts."""
    registry = _registry(source)
    with _model_errors():
        champion, versions = registry.champion(), registry.versions()
    if not versions:
        click.echo("No model has been trained yet.")
    for version in versions:
        mark = "champion" if version == champion else version.decision or "not decided"
        click.echo(
            f"{version.number:>4}  {version.model_version}  {version.candidate:<20} "
            f"{f'labels to {version.trained_to}  ' if version.trained_to else ''}"
            f"{mark}: {version.reason}"
        )


@model.command()
@click.option("--to", type=int, help="Version; by default the newest former champion.")
@SOURCE_OF_MODEL
@OF_SUBSCRIPTIONS
def rollback(to: int | None, source: str) -> None:
    """Make an earlier version the champion and withdraw the current one."""
    registry = _registry(source)
    with _model_errors():
        withdrawn, champion = registry.rollback(to)
    click.echo(
        f"Version {withdrawn.number} is withdrawn; version {champion.number} "
        f"({champion.model_version}, {champion.candidate}) predicts from the next scores on."
    )


def _registry(source: str) -> Any:
    from analytics_assets.assets.churn.model import model_registry
    from analytics_assets.sources.declared import SOURCES

    known = [name for name, one in SOURCES.items() if one.model]
    if source not in known:
        raise click.ClickException(f"{source!r} has no model; known: {', '.join(known)}.")
    return model_registry(read_settings(), source)


@contextmanager
def _model_errors() -> Iterator[None]:
    from analytics_assets.churn.data import ModelError
    from analytics_assets.churn.registry import RegistryError

    with clear_errors(ModelError, RegistryError):
        yield
