"""The model card: what a model is, how good it is, and what it must not be used for.

Belongs here: text and tables, as Markdown. Does not belong here: plots, which are passed in, or
measures. The sections follow Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analytics_assets.churn.parameters import parameters
from analytics_assets.churn.training import Plan, TrainingResult

_LIMITS = """\
- Not for decisions about a person's rights, credit, employment or prices: it knows the inputs
  above, and nothing of reasons.
- Not for a cause: a feature that pushes a score need not be why somebody leaves, and changing it
  need not keep them. Whether a contact works is for an experiment to say.
"""
_LIMITS_IN_TIME = """\
- Not for customers without a purchase, and not for another horizon than the one above.
- Not for days before {trained_to}: it has seen their labels.
- A season that the tests have not seen may move the level of all scores; `churn_performance` says
  so once it can be known."""
_LIMITS_OF_SNAPSHOT = """\
- Not for when somebody leaves: a snapshot knows who has left, and not at what time. Its scores rank
  those who have stayed by how much they are like those who left.
- Not where an input changes by leaving, such as a total that stops or a plan that is closed: the
  model would have learnt the outcome from itself.
- It says nothing of a change in time, and of no market or price list but this one's."""


def model_card(
    result: TrainingResult,
    plan: Plan,
    figures: Mapping[str, str],
    decision: str = "",
) -> str:
    """Write the card of a trained model.

    Args:
        result: result of the training.
        plan: settings of the training.
        figures: plots by name, as Markdown.
        decision: the decision on the model and its reason; left out where empty.
    """
    model = result.model
    chosen = result.candidates[result.candidates["is_chosen"]].iloc[0]
    newest = result.backtest[
        (result.backtest["candidate"] == result.chosen)
        & (result.backtest["test"] == result.newest_test)
    ].iloc[0]
    asked = (
        f"Probability that a customer buys nothing within {model.horizon_days} days from the "
        "as-of date on."
        if model.horizon_days
        else "Probability that a customer churns."
    )
    money = plan.economics
    dates = (
        f"as-of dates {result.trained_on[0]} to {result.trained_on[1]}, labels to "
        f"{model.trained_to}"
        if model.trained_to
        else "one snapshot"
    )
    unseen, known, others = (
        (
            "each later than all that its fit had learnt from",
            "from events before the as-of date only",
            "older tests",
        )
        if model.trained_to
        else (
            "in cross-validation: each predicted by a fit without it",
            "as they are",
            "the others",
        )
    )
    limits = _LIMITS + (
        _LIMITS_IN_TIME.format(trained_to=model.trained_to)
        if model.trained_to
        else _LIMITS_OF_SNAPSHOT
    )
    sections = [
        f"# Churn model {model.version}",
        f"{asked} The candidate is **{result.chosen.replace('_', ' ')}**, the simplest within the "
        "noise of the best.",
        *([f"**Decision:** {decision}"] if decision else []),
        "## Data",
        f"- Fitted on {dates}; hash `{result.data_hash[:12]}`.\n"
        f"- Tested on {', '.join(dict.fromkeys(result.backtest['test']))}: {chosen['test_rows']:,} "
        f"rows, {unseen}; {chosen['prevalence']:.1%} churned.\n"
        f"- {len(model.inputs)} inputs, {known}. Those that move scores most: "
        f"{', '.join(model.explained) or 'none'}.\n"
        f"- No resampling. Calibrated by {others}: log-odds are multiplied by {model.slope:.2f} "
        "around the mean.",
        "## How good it is",
        "All tests together; log loss in nats, with the 95% interval of what it is above the best "
        "candidate's. Profit is that of contacting the best share, at "
        f"{money.contact_cost:g} a contact that keeps {money.contact_success:.0%} of churners.",
        _candidates(result.candidates),
        f"On {'the newest test' if model.trained_to else 'the first of them'}, "
        f"{result.newest_test}: calibration slope "
        f"{_number(newest['calibration_slope'])}, intercept "
        f"{_number(newest['calibration_intercept'])}; the tenth with the highest scores churned "
        f"{newest['top_decile_lift']:.2f} times as often as all.",
        *figures.values(),
        "## Parameters",
        _parameters(parameters(model)),
        "## What it must not be used for",
        limits,
    ]
    if result.failed:
        failed = "\n".join(f"- {name}: {reason}" for name, reason in result.failed.items())
        sections += ["## Left out, without an estimate", failed]
    return "\n\n".join(sections) + "\n"


def _candidates(table: pd.DataFrame) -> str:
    lines = [
        "| candidate | ROC AUC (95%) | PR AUC | Brier | log loss | above the best (95%) | slope | "
        "profit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        name = row["candidate"].replace("_", " ")
        cells = [
            f"**{name}**" if row["is_chosen"] else name,
            f"{row['roc_auc']:.3f} ({row['roc_auc_low']:.3f} to {row['roc_auc_high']:.3f})",
            _number(row["average_precision"]),
            _number(row["brier"]),
            f"{row['log_loss']:.4f}",
            f"{row['excess_log_loss_low']:+.4f} to {row['excess_log_loss_high']:+.4f}",
            _number(row["calibration_slope"]),
            "" if row["profit"] != row["profit"] else f"{row['profit']:,.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _parameters(values: Mapping[str, float | str]) -> str:
    rows = [
        f"| {name} | {value if isinstance(value, str) else format(value, '.6g')} |"
        for name, value in values.items()
    ]
    return "\n".join(["| parameter | value |", "|---|---|", *rows])


def _number(value: float) -> str:
    return "none" if value != value else f"{value:.3f}"
