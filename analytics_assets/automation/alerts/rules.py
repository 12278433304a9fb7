"""The alert rules, as data: change a limit here, or add a rule over an existing measure.

Belongs here: each rule with its limit and its remedy. Does not belong here: how a figure is
measured (`measures`), or who is told (`incidents`). The rules of Prometheus, in
deploy/prometheus/alerts.yml, have the same limits.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AlertRule:
    """When something is an incident.

    Attributes:
        name: the rule's name; with what it is about, it identifies an incident.
        measure: the function of `measures` that gives its figures.
        limit: the figure from which it is an incident.
        remedy: what a person does about it, where the finding has nothing better.
        least: figures of the past that there must be, to compare with.
        floor: the smallest difference that counts, in the measure's own unit.
        minutes: how long it must have been so; and how long not, until it is over.
    """

    name: str
    measure: str
    limit: float
    remedy: str
    least: int = 0
    floor: float = 0.0
    minutes: float = 0.0


RULES = (
    AlertRule(
        "run_failed",
        "failures_not_repaired",
        1,
        "Open the run: the failed step says what to do. Then run it again.",
    ),
    AlertRule(
        "failures_in_a_row",
        "failures_in_a_row",
        3,
        "It does not pass by itself. Read the failed step, and stop the schedule or the sensor "
        "that starts it until the cause is gone.",
    ),
    AlertRule(
        "failed_checks",
        "failed_checks",
        1,
        "The page of the check in the UI lists the rows. Correct the data and load the days again.",
    ),
    AlertRule(
        "quality_score",
        "score_below_mean",
        2,  # standard deviations
        "See which checks of the table fail on that day: data_quality_metrics, or its page in the "
        "UI.",
        least=14,
        floor=0.01,
    ),
    AlertRule(
        "run_time",
        "run_time_over_mean",
        2,  # times the mean
        "See which step takes longer than before. If it waits, see what holds the warehouse.",
        least=5,
        floor=60,  # seconds
    ),
    AlertRule(
        "row_count",
        "rows_off_mean",
        0.1,  # of the mean
        "Few rows: the source may be incomplete; load the day again when it is whole. Many: look "
        "for rows that are repeated. A holiday or a sale: nothing to do.",
        least=4,
        floor=2,  # deviations of counts: a small shop's days differ by more than a tenth
    ),
    AlertRule(
        "disk",
        "disk_used",
        0.8,
        "Make room: lower ANALYTICS_PUBLISHED_BUILDS, delete old logs, or move ANALYTICS_HOME to a "
        "larger disk.",
        minutes=10,
    ),
    AlertRule(
        "warehouse",
        "warehouse_unreachable",
        1,
        "If another process has the file open, end it; readers open the published copy. If the "
        "file is damaged, move it away and run again: it is rebuilt from the sources.",
        minutes=5,
    ),
)
