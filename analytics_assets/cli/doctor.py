"""The command that says what is wrong with a home, and mends what is safe."""

import json
import os
import sys
from dataclasses import asdict
from typing import Any

import click

from analytics_assets.settings import Settings, SettingsError, load_settings

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@click.option("--mend", is_flag=True, help="Mend what is safe, and say what was done.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(mend: bool, as_json: bool) -> None:
    """Say what is wrong: packages, settings, instance, runs, files, warehouse, published copy.

    It never waits for another process. With --mend it ends dead runs, frees their slots, sets
    damaged files aside (renamed, never deleted) and migrates tables. Exits with 1 while errors are
    left.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        findings = [
            {"check": "settings", "state": "error", "text": str(error), "remedy": "", "mended": ""}
        ]
    else:
        findings = [
            {
                "check": "settings",
                "state": "ok",
                "text": f"All settings of a {settings.deployment} deployment are there; home: "
                f"{settings.home}.",
                "remedy": "",
                "mended": "",
            },
            *(asdict(finding) for finding in _findings(settings, mend)),
        ]
    if as_json:
        click.echo(json.dumps(findings, indent=1, default=str))
    else:
        for finding in findings:
            _print(finding)
    errors = sum(finding["state"] == "error" for finding in findings)
    warnings = sum(finding["state"] == "warning" for finding in findings)
    if not as_json:
        click.echo(f"{len(findings)} findings: {errors} errors, {warnings} warnings.")
    sys.exit(1 if errors else 0)


def _findings(settings: Settings, mend: bool) -> list[Any]:
    from dagster import DagsterInstance

    from analytics_assets.automation.doctor.checks import CHECKS
    from analytics_assets.automation.doctor.findings import Context, examine
    from analytics_assets.definitions import build_definitions, build_warehouse

    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    os.environ["ANALYTICS_HOME"] = str(settings.home)

    def instance() -> DagsterInstance:
        from analytics_assets.automation.instance import prepare_instance

        prepare_instance(settings)
        return DagsterInstance.get()

    context = Context(
        settings,
        mend,
        instance,
        lambda: build_definitions(settings),
        build_warehouse(settings, patience=0.0),
    )
    try:
        return list(examine(context, CHECKS))
    finally:
        context.close()


def _print(finding: dict[str, Any]) -> None:
    state = click.style(f"{finding['state']:<8}", fg=COLOURS[finding["state"]])
    click.echo(f"{state} {finding['check']:<18} {finding['text']}")
    for title in ("mended", "remedy"):
        if finding[title]:
            click.echo(f"{'':<28}{title}: {finding[title]}")
