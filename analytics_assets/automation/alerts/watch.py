"""Watching: the rules are evaluated, and people are told; by a sensor, and by the command line.

Belongs here: what happens in a tick. Does not belong here: the rules, measures and messages (the
modules next to this one).
"""

import logging
import time
from collections.abc import Callable, Sequence

from dagster import (
    AssetCheckKey,
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from analytics_assets.automation.alerts.facts import Facts
from analytics_assets.automation.alerts.incidents import (
    BusyError,
    Found,
    Letter,
    Store,
    advance,
    deliver,
)
from analytics_assets.automation.alerts.measures import MEASURES
from analytics_assets.automation.alerts.rules import RULES, AlertRule
from analytics_assets.automation.alerts.summary import new_summary
from analytics_assets.automation.notifications import TIMEOUT_SECONDS, channels
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

NO_CHANNEL = (
    "No channel is set: ANALYTICS_SLACK_TOKEN, ANALYTICS_SMTP_HOST or ANALYTICS_WEBHOOK_URL."
)


def watch(
    settings: Settings,
    instance: DagsterInstance,
    warehouse: Warehouse,
    checks: Sequence[AssetCheckKey],
    clock: Callable[[], float] = time.time,
    rules: Sequence[AlertRule] = RULES,
    timeout: float = TIMEOUT_SECONDS,
) -> list[str]:
    """Evaluate the rules once, and send what there is to say.

    Args:
        settings: with the channels.
        instance: the run history; it keeps the open incidents, too.
        warehouse: with little patience.
        checks: the asset checks.
        clock: the time.
        rules: the alert rules.
        timeout: seconds for a message.

    Returns:
        What was not sent, and what could not be evaluated, in words.
    """
    to = channels(settings)
    if not to:
        return []
    store = Store(instance, settings.home / "alerts.lock")
    try:
        with store.locked() as state:
            now = clock()
            facts = Facts(settings, instance, warehouse, checks, now)
            found, problems = evaluate(rules, facts)
            advance(state, found, now, facts.link, settings.deployment)
            summary = new_summary(state.summary, facts)
            if summary:
                state.summary, title, lines = summary
                identity = f"build.{state.summary['build']}.{now:.3f}"
                title = f"[{settings.deployment}] {title}"
                state.letters.append(Letter(title, lines, identity))
            return [*problems, *deliver(store, state, to, timeout)]
    except BusyError as error:
        return [str(error)]
    except Exception as error:
        # What was to be told has happened already, and must not fail because nobody is told.
        logging.getLogger(__name__).exception("alerts")
        return [f"Nobody was told of anything: {type(error).__name__}."]


def evaluate(rules: Sequence[AlertRule], facts: Facts) -> tuple[list[Found], list[str]]:
    """What each rule found. A measure that fails is a problem, and changes no incident."""
    found, problems = [], []
    for rule in rules:
        try:
            found.append(Found(rule, list(MEASURES[rule.measure](rule, facts))))
        except WarehouseError:
            found.append(Found(rule, None))  # nothing is published yet
        except Exception as error:
            logging.getLogger(__name__).debug("rule %s", rule.name, exc_info=True)
            problems.append(f"The rule {rule.name} was not evaluated: {type(error).__name__}.")
            found.append(Found(rule, None))
    return found, problems


def alert_sensor(settings: Settings, warehouse: Warehouse) -> SensorDefinition:
    """The sensor that watches; where automation is off, it is started in the UI."""
    has_channel = bool(channels(settings))  # a library that is missing is said at once

    @sensor(
        name="alerts",
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=(
            DefaultSensorStatus.RUNNING if settings.automatic else DefaultSensorStatus.STOPPED
        ),
        description=(
            "Tells people of each incident once, when it is over, and of each published build, by "
            "Slack, e-mail or webhook; does nothing where none is set."
        ),
    )
    def alerts(context: SensorEvaluationContext) -> SkipReason:
        if not has_channel:
            return SkipReason(NO_CHANNEL)
        assert context.repository_def is not None
        checks = context.repository_def.asset_graph.asset_check_keys
        problems = watch(settings, context.instance, warehouse, sorted(checks))
        for problem in problems:
            context.log.warning(problem)
        return SkipReason(" ".join(problems) or "All rules were evaluated.")

    return alerts
