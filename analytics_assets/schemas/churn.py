"""Tables of churn: features with their label, trained models and daily predictions.

Belongs here: what models are trained on and what they produce. Does not belong here: the
features' own columns, which the daily snapshot shares (marts).
"""
# mypy: disable-error-code="valid-type"

from analytics_assets.schemas.base import (
    BigInt,
    Blob,
    Boolean,
    Date,
    Double,
    Integer,
    TableModel,
    Text,
    column,
    table,
)
from analytics_assets.schemas.marts import RISK_BANDS, CustomerFeatures, SnapshotKey

FEATURE_COLUMNS = tuple(CustomerFeatures.to_schema().columns)


class MonthKey(TableModel):
    """Columns before the features of a month."""

    month: Date = column("First day of the month; the monthly partition")
    as_of: Date = column("Exclusive end of what the features see: first day of the next month")
    customer_id: Text = column("Customer; never the unknown member")


@table(
    group="churn",
    key=("month", "customer_id"),
    partitioning="monthly",
    window_column="month",
)
class ChurnFeatures(CustomerFeatures, MonthKey):
    """Features at the end of each month of every customer who has bought, with the label.

    A month not wholly observed has no rows. The label needs a later load than the features: a
    month is materialized again once its label window has closed.
    """

    label_window_closed: Boolean = column("The churn horizon after as_of has been observed")
    churned: Boolean = column(
        "No sale within the churn horizon from as_of on; null until that has been observed",
        nullable=True,
    )


@table(group="churn", key=("model_version", "candidate"), volatile=("artifact",))
class ChurnModel(TableModel):
    """The candidates of the newest training, how they did on the later month, which was chosen."""

    model_version: Text = column("Version of the training")
    candidate: Text = column("Name of the candidate")
    is_chosen: Boolean = column("The candidate that predictions use")
    roc_auc: Double = column(
        "Area under the ROC curve on the test month; null with one class only",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    average_precision: Double = column("Average precision on the test month", nullable=True)
    brier: Double = column("Mean squared error of the probability on the test month", nullable=True)
    log_loss: Double = column("Log loss on the test month", nullable=True)
    prevalence: Double = column("Share of churned customers in the test month", nullable=True)
    train_rows: BigInt = column("Rows trained on", ge=0)
    test_rows: BigInt = column("Rows tested on", ge=0)
    train_as_of_first: Date = column("First as_of trained on")
    train_as_of_last: Date = column("Last as_of trained on; its label window ends by test_as_of")
    test_as_of: Date = column("as_of tested on")
    horizon_days: Integer = column("Days without a sale that make a churned customer", ge=1)
    artifact: Blob = column("The serialised model; null for candidates not chosen", nullable=True)


@table(
    group="churn",
    key=("snapshot_date", "customer_id"),
    partitioning="daily",
    window_column="snapshot_date",
)
class ChurnPredictions(SnapshotKey):
    """Probability of churn of every customer who has bought, as of each day."""

    churn_probability: Double = column(
        "Probability of no sale within the churn horizon from as_of on",
        in_range={"min_value": 0, "max_value": 1},
    )
    risk_band: Text = column("Low, Medium or High by churn_probability", isin=RISK_BANDS)
    model_version: Text = column("Version of the model that predicted")
