"""Whether a new model replaces the one in use.

Belongs here: the comparison of the challenger and the champion on rows that neither had seen. Does
not belong here: where the decision is stored (`registry`).

Both predict the same rows, in one of two ways. A champion whose last label had closed before the
challenger's newest test predicts that test; a champion of a snapshot predicts the customers whose
outcome it had not seen. Where there are none (a younger champion has seen labels of the test), the
predictions of its own backtest, stored when it was trained, are compared with the challenger's on
the rows that both have. The challenger is better when its log loss is smaller and the 95% interval
of the difference, by a paired bootstrap over customers, is below zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analytics_assets.churn.data import MIN_CLASS_ROWS
from analytics_assets.churn.metrics import excess_interval, log_losses
from analytics_assets.churn.model import ChurnModel, score
from analytics_assets.churn.training import TrainingResult


@dataclass(frozen=True)
class Decision:
    """A decision and its reason.

    Attributes:
        promote: whether the challenger becomes the champion.
        reason: the reason, in a sentence.
        difference: log loss of the challenger less the champion's, with low and high (95%); None
            where they were not compared.
        rows: rows that they were compared on.
    """

    promote: bool
    reason: str
    difference: tuple[float, float, float] | None = None
    rows: int = 0


def decide(
    challenger: TrainingResult,
    champion: ChurnModel | None,
    champion_backtest: pd.DataFrame | None,
    frame: pd.DataFrame,
    seed: int,
) -> Decision:
    """Compare a new model with the one in use.

    Args:
        challenger: the result of the new training.
        champion: the model in use; None where there is none, or none that can be read.
        champion_backtest: `TrainingResult.predictions` of the champion's training.
        frame: the rows that the challenger was trained on.
        seed: seed of the bootstrap.
    """
    if champion is None:
        return Decision(True, "There is no champion that can be used.")
    if champion.horizon_days != challenger.model.horizon_days:
        return Decision(
            True,
            f"The champion predicts {champion.horizon_days} days, no longer asked for; this one "
            f"{challenger.model.horizon_days}.",
        )
    if gone := [name for name in champion.inputs if name not in frame.columns]:
        return Decision(True, f"The champion needs features that are gone: {', '.join(gone)}.")
    kept = champion_backtest if champion_backtest is not None else challenger.predictions.iloc[:0]
    theirs = kept.rename(columns={"churn_probability": "champion"})
    common_rows = _rows_in_time if champion.trained_to else _rows_of_snapshot
    both, source = common_rows(challenger, champion, theirs, frame)
    if both.empty:
        return Decision(False, "The champion's backtest has no row in common with this one's.")
    return _compare(both, source, seed)


def _rows_in_time(
    challenger: TrainingResult, champion: ChurnModel, theirs: pd.DataFrame, frame: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """The rows to compare on, with the predictions of both, and where they come from."""
    newest, ours = challenger.newest_test, challenger.predictions
    if champion.trained_to <= newest:
        rows = frame[pd.to_datetime(frame["as_of"]).dt.strftime("%Y-%m-%d") == newest]
        both = _with_champion(champion, ours[ours["test"] == newest], rows)
        return both, f"{newest}, later than all that the champion has learnt from"
    both = ours.merge(
        theirs[["test", "customer_id", "champion"]],
        on=["test", "customer_id"],
        validate="one_to_one",
    )
    return both, f"the backtests' common dates {', '.join(sorted(both['test'].unique()))}"


def _rows_of_snapshot(
    challenger: TrainingResult, champion: ChurnModel, theirs: pd.DataFrame, frame: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """The same for a snapshot, where every prediction is of a fold that was left out."""
    both = challenger.predictions.merge(
        theirs[["customer_id", "observed", "champion"]],
        on=["customer_id", "observed"],
        how="left",
        validate="one_to_one",
    )
    unseen = both[both["champion"].isna()].drop(columns="champion")
    churned = int(unseen["observed"].sum())
    if min(churned, len(unseen) - churned) >= MIN_CLASS_ROWS:
        return (
            _with_champion(champion, unseen, frame),
            "the customers whose outcome the champion has not learnt from",
        )
    return both.dropna(subset="champion"), "the customers that both backtests know"


def _with_champion(champion: ChurnModel, ours: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The challenger's predictions next to the champion's of the same customers."""
    rows = rows[rows["customer_id"].astype(str).isin(ours["customer_id"])]
    scores = {"customer_id": rows["customer_id"].astype(str), "champion": score(champion, rows)}
    return ours.merge(pd.DataFrame(scores), on="customer_id", validate="one_to_one")


def _compare(both: pd.DataFrame, source: str, seed: int) -> Decision:
    observed = both["observed"].to_numpy(bool)
    losses = np.column_stack(
        [
            log_losses(observed, both["champion"].to_numpy()),
            log_losses(observed, both["churn_probability"].to_numpy()),
        ]
    )
    if np.array_equal(losses[:, 0], losses[:, 1]):
        return Decision(
            False,
            f"It predicts the same as the champion on {source}. Rows later than all that the "
            "champion has learnt from will decide.",
            (0.0, 0.0, 0.0),
            len(both),
        )
    low, high = excess_interval(losses, both["customer_id"].to_numpy(), seed, reference=0)
    difference = float(losses[:, 1].mean() - losses[:, 0].mean())
    better = difference < 0 and high[1] < 0
    return Decision(
        promote=better,
        reason=(
            f"Its log loss is {losses[:, 1].mean():.4f} against the champion's "
            f"{losses[:, 0].mean():.4f} on {len(both):,} rows of {source}; difference "
            f"{difference:+.4f}, 95% interval {low[1]:+.4f} to {high[1]:+.4f}: "
            f"{'better' if better else 'not better'}."
        ),
        difference=(difference, float(low[1]), float(high[1])),
        rows=len(both),
    )
