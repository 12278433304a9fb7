"""Subscribers, and whether they have left: one snapshot without days, with a model of its own."""

from analytics_assets.sources.declared.base import (
    Balance,
    ChurnModel,
    Contract,
    Figure,
    OwnJob,
    Source,
)

SUBSCRIPTIONS = Source(
    Contract("subscriptions", ("customer_id", "churned")),
    rows="subscribers",
    job=OwnJob(
        "Loads the subscribers, trains their churn model and scores those who have stayed.",
        "At 01:00 UTC: loads the subscribers, trains and scores.",
        "0 1 * * *",
    ),
    balances=(
        *(
            Balance(
                "churn_by_contract",
                f"{column}_are_those_of_the_subscribers",
                f"{column} of all contracts is that of subscription_analytics.",
                Figure("marts.subscription_analytics", figure),
                Figure("marts.churn_by_contract", f"coalesce(sum({column}), 0)"),
                windowed=False,
            )
            for column, figure in (
                ("subscribers", "count(*)"),
                ("churned", "count(*) FILTER (churned)"),
            )
        ),
        Balance(
            "churn_by_contract",
            "imputed_charges_are_the_missing_ones",
            "Every total of charges that staging has imputed is counted.",
            Figure("staging.stg_subscriptions", "count(*) FILTER (total_charges_imputed)"),
            Figure("marts.churn_by_contract", "coalesce(sum(total_charges_imputed), 0)"),
            windowed=False,
        ),
    ),
    model=ChurnModel("_subscriptions", "subscription_predictions", "subscribers who have not left"),
)
