"""The command that serves the dashboards."""

import importlib.util

import click

from analytics_assets.cli.common import read_settings
from analytics_assets.cli.listening import address_of, is_loopback, listening_on

NEEDED = ("streamlit", "altair", "redis")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--behind-proxy", is_flag=True, help="Listen on --host: a proxy in front asks who is there."
)
def dashboards(port: int, host: str, behind_proxy: bool) -> None:
    """Serve the dashboards over the published build, until stopped.

    They have no login of their own: without --behind-proxy they listen on the loopback only.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{', '.join(missing)} not installed: install the extra dashboards "
            "(pip install 'analytics_assets[dashboards]')."
        )
    loopback = is_loopback(host)
    if not loopback and not behind_proxy:
        raise click.ClickException(
            f"{host} can be reached from other machines, and everybody there would see customers. "
            "Put a proxy with a login in front and add --behind-proxy, or listen on 127.0.0.1."
        )
    read_settings()
    import uvicorn

    from analytics_assets.dashboards.server import create_app
    from analytics_assets.dashboards.site import PAGES

    with listening_on(host, port) as listening:
        click.echo(f"{address_of(listening, host)}/")
        app = create_app([page.path for page in PAGES], loopback=loopback)
        config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False)
        uvicorn.Server(config).run([listening])
