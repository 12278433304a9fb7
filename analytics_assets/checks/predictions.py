"""Whether the churn scores are still good: past predictions, and the inputs of the model.

Belongs here: the warnings, and the reasons to train again. Does not belong here: how performance
and drift are measured (`churn`, `assets.churn.performance`).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.session import Session

RETRAIN = (
    "Train again (job retrain; the sensor retrain_when_scores_fail starts it). If the new model is "
    "no better, customers behave differently in a way that no feature shows: "
)
NEWEST_SCORES = (
    "SELECT as_of, model_version, customers, shortfall FROM churn.churn_performance\n"
    "ORDER BY as_of DESC, model_version LIMIT 1"
)
NEWEST_INPUTS = (
    "SELECT snapshot_date, feature, model_version, verdict, psi FROM churn.churn_drift\n"
    "WHERE snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_drift)"
)
DRIFTED = "verdict IN ('moderate', 'major')"


def scored_by_the_champion(table: Table) -> Check:
    """Evaluated by the scoring step: only it knows which model could be read."""
    return Check(
        "churn",
        table.name,
        "scored_by_the_champion",
        "The scores are the champion's: it could be read. Otherwise an earlier model has scored.",
        "timeliness",
        "Check whether the model registry answers and has the champion's files; then score again. "
        "If the model is lost, train again or `analytics-assets model rollback`.",
    )


def checks() -> Iterator[Check]:
    """scores_hold and inputs_hold."""
    yield Check(
        "churn",
        "churn_performance",
        "scores_hold",
        "The newest scores whose window has closed were as good as in the backtest.",
        "validity",
        f"{RETRAIN}stop campaigns that use the scores, and read the model card.",
        _scores_hold,
    )
    yield Check(
        "churn",
        "churn_drift",
        "inputs_hold",
        "Neither an input of the newest scores nor the scores differ much from the training, "
        "except inputs that grow by construction.",
        "consistency",
        f"{RETRAIN}ask first whether the source fills its columns differently.",
        _inputs_hold,
    )


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """The findings on performance and drift of the newest scores."""
    for check in checks:
        began = time.perf_counter()
        description, rows, wrong, query = check.rule(session)
        yield Finding(
            check,
            passed=not wrong,
            description=description,
            rows=rows,
            failing=len(wrong),
            threshold=0.0,
            keys=wrong[:KEYS_SHOWN],
            query=query,
            seconds=time.perf_counter() - began,
        )


Verdict = tuple[str, int, list[dict[str, object]], str]


def _scores_hold(session: Session) -> Verdict:
    passed = "The newest closed scores were as good as promised, or there are none."
    problem = shortfall(session)
    newest = _rows(session, "churn_performance", NEWEST_SCORES)
    keys = [{name: row[name] for name in ("as_of", "model_version")} for row in newest]
    query = f"SELECT * FROM (\n{NEWEST_SCORES}\n) WHERE shortfall IS NOT NULL"
    return problem or passed, len(newest), keys if problem else [], query


def _inputs_hold(session: Session) -> Verdict:
    passed = "Inputs and scores are as at training."
    problem = drifted(session)
    newest = _rows(session, "churn_drift", NEWEST_INPUTS)
    wrong = [row["feature"] for row in newest if row["verdict"] in ("moderate", "major")]
    keys = [{"feature": name} for name in sorted(wrong)]
    return problem or passed, len(newest), keys, f"{NEWEST_INPUTS}\n    AND {DRIFTED}"


def _rows(session: Session, name: str, query: str) -> list[dict[str, Any]]:
    """Rows of a query over a table; none where it does not exist yet."""
    return session.records(query) if session.exists(TABLES[name]) else []


def reasons_to_retrain(session: Session) -> tuple[str, list[str]]:
    """Reasons to train again.

    Returns:
        The model version of the newest scores (empty without scores), and the reasons.
    """
    newest = _rows(session, "churn_drift", NEWEST_INPUTS)
    version = newest[0]["model_version"] if newest else ""
    return version, [reason for reason in (shortfall(session), drifted(session)) if reason]


def shortfall(session: Session) -> str | None:
    """How the newest closed scores were worse than promised; None if they were not."""
    rows = _rows(session, "churn_performance", NEWEST_SCORES)
    problem = rows[0]["shortfall"] if rows else None
    return f"{rows[0]['as_of']}: {problem}" if problem else None


def drifted(session: Session) -> str | None:
    """The features that have drifted on the newest scored day; None if none has."""
    rows = _rows(session, "churn_drift", f"{NEWEST_INPUTS} AND {DRIFTED} ORDER BY psi DESC")
    if not rows:
        return None
    features = ", ".join(f"{row['feature']} ({row['verdict']}, {row['psi']:.2f})" for row in rows)
    return f"{rows[0]['snapshot_date']}: drift of {features}"
