"""The command that serves metrics to Prometheus."""

import importlib.util
import signal
import threading

import click

from analytics_assets.cli.common import open_instance, project_errors, read_settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=9187, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def metrics(port: int, host: str) -> None:
    """Serve runs, rows, checks, freshness and sizes to Prometheus, at /metrics, until stopped."""
    if importlib.util.find_spec("prometheus_client") is None:
        raise click.ClickException(
            "prometheus_client is not installed: install the extra metrics "
            "(pip install 'analytics_assets[metrics]')."
        )
    from prometheus_client import CollectorRegistry, start_http_server

    from analytics_assets.automation.metrics import Metrics
    from analytics_assets.definitions import build_definitions, build_warehouse

    settings = read_settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with project_errors(), open_instance(settings) as instance:
        checks = build_definitions(settings).resolve_asset_graph().asset_check_keys
        registry = CollectorRegistry()
        # A run writes for minutes: a scrape does not wait for it.
        registry.register(Metrics(settings, instance, build_warehouse(settings, 0.0), checks))
        try:
            server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise click.ClickException(
                f"Port {port} of {host} cannot be used: {error.strerror}. Name another with --port."
            ) from error
        click.echo(f"http://{host}:{server.server_port}/metrics")
        stopped.wait()
        server.shutdown()
