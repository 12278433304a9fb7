"""The project for the daemon of `soak.py`: all sensors on, and as often as the daemon looks."""

from dagster import DefaultSensorStatus, Definitions, definitions

from analytics_assets.definitions import build_definitions
from analytics_assets.settings import load_settings

EVERY = 5  # seconds


@definitions
def defs() -> Definitions:
    """The project; only how often its sensors look differs."""
    composed = build_definitions(load_settings())
    for sensor in composed.sensors or ():
        sensor._min_interval = EVERY
        sensor._default_status = DefaultSensorStatus.RUNNING
    return composed
