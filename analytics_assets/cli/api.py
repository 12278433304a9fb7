"""Commands of the HTTP API: serve it, and make, list and withdraw its keys."""

import importlib.util
from typing import Any

import click

from analytics_assets.cli.common import clear_errors, read_settings
from analytics_assets.cli.listening import address_of, is_loopback, listening_on

NEEDED = ("fastapi", "uvicorn", "orjson", "prometheus_client", "jwt", "redis")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def api(port: int, host: str) -> None:
    """Serve the published build over HTTP, until stopped; /openapi.json describes how to ask.

    Without keys it listens on the loopback only. TLS is left to a proxy.
    """
    _require_packages()
    import uvicorn

    from analytics_assets.api.app import create_app
    from analytics_assets.api.keys import Keys
    from analytics_assets.api.service import api_folder, tokens_of

    settings = read_settings()
    loopback = is_loopback(host)
    if not loopback and not tokens_of(settings) and not Keys(api_folder(settings)).exist:
        raise click.ClickException(
            f"{host} can be reached from other machines, and nobody would need a key. Make one "
            "with `analytics-assets api-keys create`, set ANALYTICS_API_OIDC_ISSUER with its "
            "audience and keys, or listen on 127.0.0.1."
        )
    with listening_on(host, port) as listening:
        click.echo(f"{address_of(listening, host)}/openapi.json")
        app = create_app(settings, loopback=loopback)
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False)
        uvicorn.Server(config).run([listening])


@click.group("api-keys")
def api_keys() -> None:
    """Make, list and withdraw keys of the HTTP API."""


@api_keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="read:*, read:<table>, read:<table>.<column>, personal, predict, live, metrics; again for "
    "more.",
)
@click.option("--rate", type=click.IntRange(0), help="Requests a minute; 0 for no limit.")
@click.option("--days", type=click.IntRange(1), help="Days until it expires; never without.")
def create(name: str, scopes: tuple[str, ...], rate: int | None, days: int | None) -> None:
    """Make a key for NAME, a person or a program, and print it: this once, it is not stored."""
    keys = _keys()
    with _key_errors():
        click.echo(keys.create(name, [*scopes], rate, days))


@api_keys.command("list")
def list_keys() -> None:
    """List all keys with their scopes, withdrawn ones too; not the keys themselves."""
    keys = _keys()
    with _key_errors():
        found = keys.all()
    if not found:
        click.echo("There are no keys: the API answers on the loopback, without one.")
    for key in found:
        state = (
            f"withdrawn {key.withdrawn_at}"
            if key.withdrawn_at
            else f"expires {key.expires_at}"
            if key.expires_at
            else "works"
        )
        rate = "" if key.rate is None else f", {key.rate or 'any number of'} requests a minute"
        click.echo(f"{key.id}  {key.name}: {' '.join(key.scopes)}{rate}; {state}")


@api_keys.command("withdraw")
@click.argument("key_id")
def withdraw(key_id: str) -> None:
    """Withdraw the key with KEY_ID; a running API refuses it from then on."""
    keys = _keys()
    with _key_errors():
        key = keys.withdraw(key_id)
    click.echo(f"{key.id} of {key.name} is withdrawn.")


def _require_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{', '.join(missing)} not installed: install the extra api "
            "(pip install 'analytics_assets[api]')."
        )


def _keys() -> Any:
    _require_packages()
    from analytics_assets.api.keys import Keys
    from analytics_assets.api.service import api_folder

    return Keys(api_folder(read_settings()))


def _key_errors() -> Any:
    from analytics_assets.api.access import ScopeError
    from analytics_assets.api.keys import KeyFileError

    return clear_errors(ScopeError, KeyFileError)
