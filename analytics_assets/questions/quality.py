"""Quality: scores of tables, checks that failed, rejected rows, and how new everything is.

Belongs here: questions to the ledgers of checks and runs. Does not belong here: the checks.
"""

from datetime import date
from typing import Any

from analytics_assets.questions import Records
from analytics_assets.warehouse.session import Session


def newest_scores(session: Session) -> Records:
    """The newest score of each table, the lowest first."""
    return session.records(
        "SELECT asset, max(day) AS day, arg_max(score, day) AS score "
        "FROM quality.data_quality_scores GROUP BY 1 ORDER BY 3, 1"
    )


def scores_between(session: Session, since: date, until: date, by: str) -> Records:
    """The lowest score of each table in each day, week or month."""
    return session.records(
        "SELECT asset, date_trunc(?, day)::DATE AS day, min(score) AS score, "
        "min(completeness) AS completeness, min(validity) AS validity, "
        "min(consistency) AS consistency, min(uniqueness) AS uniqueness, "
        "min(timeliness) AS timeliness, count(*) AS days FROM quality.data_quality_scores "
        "WHERE day BETWEEN ? AND ? GROUP BY ALL ORDER BY asset, day",
        [by, since, until],
    )


def failures(session: Session) -> Records:
    """Checks whose newest verdict is that they failed or did not run, the worst first."""
    return session.records(
        """
        WITH newest AS (
            SELECT * FROM quality.data_quality_metrics WHERE day IS NULL
            QUALIFY row_number() OVER (
                PARTITION BY asset, check_name ORDER BY evaluated_at DESC, run_id
            ) = 1
        )
        SELECT asset, check_name, severity, family, failing_rows, rows_checked, share, figure,
            threshold, window_start, window_end, evaluated_at,
            if(ran, description, 'It did not run.') AS description
        FROM newest WHERE NOT passed OR NOT ran
        ORDER BY severity, share DESC NULLS LAST, asset, check_name
        """
    )


def verdicts(session: Session) -> dict[str, Any]:
    """Checks by their newest verdict."""
    return session.records(
        """
        WITH newest AS (
            SELECT passed AND ran AS passed, severity FROM quality.data_quality_metrics
            WHERE day IS NULL
            QUALIFY row_number() OVER (
                PARTITION BY asset, check_name ORDER BY evaluated_at DESC, run_id
            ) = 1
        )
        SELECT count(*) FILTER (passed) AS passed,
            count(*) FILTER (NOT passed AND severity = 'WARN') AS warned,
            count(*) FILTER (NOT passed AND severity = 'ERROR') AS failed
        FROM newest
        """
    )[0]


def rejected(session: Session, since: date, until: date, by: str) -> Records:
    """Rejected rows of each source in each day, week or month, by the newest verdict on a day."""
    return session.records(
        "WITH days AS (SELECT replace(check_name, 'no_rejected_', '') AS source, day, "
        "arg_max(failing_rows, evaluated_at) AS failing, "
        "arg_max(rows_checked, evaluated_at) AS checked FROM quality.data_quality_metrics "
        "WHERE asset = 'rejected_rows' AND starts_with(check_name, 'no_rejected_') "
        "AND day BETWEEN ? AND ? GROUP BY ALL) "
        "SELECT source, date_trunc(?, day)::DATE AS day, sum(failing)::BIGINT AS rejected_rows, "
        "sum(checked)::BIGINT AS rows_read FROM days GROUP BY ALL ORDER BY source, day",
        [since, until, by],
    )


def freshness(session: Session) -> Records:
    """The newest day that each table was checked for, and when; the oldest first."""
    return session.records(
        "SELECT asset, max(day) AS newest_day, "
        "(SELECT max(evaluated_at) FROM quality.data_quality_metrics m WHERE m.asset = s.asset) "
        "AS evaluated_at FROM quality.data_quality_scores s GROUP BY 1 ORDER BY 2, 1"
    )


def runs(session: Session, limit: int) -> Records:
    """The newest runs."""
    return session.records(
        "SELECT started_at, job, status, seconds, window_start, window_end, assets, "
        "checks_passed, checks_failed FROM quality.pipeline_executions "
        f"ORDER BY started_at DESC LIMIT {int(limit)}"
    )
