"""Tables of churn: features with their label, trained models and daily predictions.

Belongs here: what models are trained on and what they produce. Does not belong here: the
features' own columns, which the daily snapshot shares (marts).
"""
# mypy: disable-error-code="valid-type"

from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    BigInt,
    Boolean,
    Date,
    Double,
    Integer,
    Money,
    TableModel,
    Text,
    column,
    table,
)
from analytics_assets.schemas.marts import CustomerFeatures, SnapshotKey

FEATURE_COLUMNS = tuple(CustomerFeatures.to_schema().columns)
VALUE_COLUMN = "repeat_net_amount"  # for the models of value, not for classifiers
# Bands of a churn probability, with their lower bounds.
PROBABILITY_BANDS = {"Low": 0.0, "Medium": 0.3, "High": 0.7}
RULE_COLUMN = "churn_risk_score"  # of the features and of the daily snapshot: a baseline


class MonthKey(TableModel):
    """Columns before the features of a month."""

    month: Date = column("First day of the month; the monthly partition")
    as_of: Date = column("Exclusive end of what the features see: first day of the next month")
    customer_id: Text = column("Customer; never the unknown member", person=CUSTOMER_KEY)


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

    churn_risk_score: Double = column(
        "Silence since the last sale as a share of the longest that is normal for the customer, "
        "at most 1: a rule, no probability; null before the first sale",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    label_window_closed: Boolean = column("The churn horizon after as_of has been observed")
    churned: Boolean = column(
        "No sale within the churn horizon from as_of on; null until that has been observed",
        nullable=True,
    )


class Measures(TableModel):
    """How good probabilities were; null where it cannot be computed, as with one class only."""

    prevalence: Double = column("Share that churned", nullable=True)
    roc_auc: Double = column(
        "Area under the ROC curve", nullable=True, in_range={"min_value": 0, "max_value": 1}
    )
    roc_auc_low: Double = column("Lower end of its 95% interval", nullable=True)
    roc_auc_high: Double = column("Upper end of its 95% interval", nullable=True)
    average_precision: Double = column("Area under the precision-recall curve", nullable=True)
    brier: Double = column("Mean squared error of the probability", nullable=True)
    log_loss: Double = column("Mean log loss, nats", nullable=True)
    calibration_slope: Double = column(
        "Slope of the outcome on the predicted log-odds: below 1 too extreme, above 1 too timid; "
        "null where all predictions are the same",
        nullable=True,
    )
    calibration_intercept: Double = column(
        "Log-odds by which churn was predicted too low; below 0, too high", nullable=True
    )
    top_decile_lift: Double = column(
        "Share that churned among the tenth with the highest predictions, over that of all",
        nullable=True,
    )
    profit: Double = column(
        "Money made by contacting the best share of the customers, by cost and success of a "
        "contact and each customer's own value",
        nullable=True,
    )
    profit_share: Double = column("The share contacted for that profit", nullable=True)


class CandidateKey(TableModel):
    """Columns before the measures of a candidate."""

    model_version: Text = column("Version of the training")
    candidate: Text = column("Name of the candidate")


class ModelKey(CandidateKey):
    """Columns before the measures of a candidate over all tests."""

    is_chosen: Boolean = column("The simplest candidate within the noise of the best")


class BacktestKey(CandidateKey):
    """Columns before the measures of a candidate in one test."""

    test_as_of: Date = column("as_of tested on")


DECISIONS = ("promoted", "refused", "withdrawn")


class Training(Measures, ModelKey):
    """Columns of every training, whatever it was trained on."""

    excess_log_loss_low: Double = column(
        "Lower end of the 95% interval of log_loss above the best candidate's"
    )
    excess_log_loss_high: Double = column("Upper end of that interval")
    train_rows: BigInt = column(
        "Rows that the candidate is fitted on in the end; those of each test are in churn_backtest",
        ge=0,
    )
    test_rows: BigInt = column("Rows tested on", ge=0)
    tests: Integer = column("Number of test dates, or of folds", ge=1)
    data_hash: Text = column("Hash of all rows that were learnt from")
    registered_version: Integer = column(
        "Version of the chosen candidate's model in the registry; null for the others",
        nullable=True,
        ge=1,
    )
    decision: Text = column(
        "Whether the chosen candidate's model became the champion; null for the others",
        nullable=True,
        isin=DECISIONS,
    )
    decision_reason: Text = column("Why", nullable=True)


@table(
    group="churn",
    key=("model_version", "candidate"),
    volatile=("registered_version",),
    is_history=True,
)
class ChurnModel(Training):
    """Every training: how its candidates did on as-of dates after their data, and the choice.

    Measures are over all test dates together; churn_backtest has each of them.
    """

    test_as_of: Date = column("Newest as_of tested on")
    first_as_of: Date = column("First as_of that the chosen model was fitted on in the end")
    last_as_of: Date = column("Last as_of that it was fitted on")
    labels_to: Date = column("End of the last label window that it has learnt from")
    horizon_days: Integer = column("Days without a sale that make a churned customer", ge=1)


@table(group="churn", key=("model_version", "candidate", "test_as_of"), is_history=True)
class ChurnBacktest(Measures, BacktestKey):
    """How each candidate of each training did on each test date."""

    calibrated: Boolean = column("Calibrated by older test dates; the first has none before it")
    train_rows: BigInt = column(
        "Rows that the test's fit has read: all whose labels had closed by test_as_of, or the "
        "histories as of it",
        ge=0,
    )
    test_rows: BigInt = column("Rows tested on", ge=0)


class Score(TableModel):
    """Columns of every score, whatever it is of."""

    churn_probability: Double = column(
        "Probability of churn: of no sale within the churn horizon from as_of on; of a subscriber, "
        "that they leave",
        in_range={"min_value": 0, "max_value": 1},
    )
    risk_band: Text = column(
        "Low, Medium or High by churn_probability ("
        + ", ".join(f"{name} from {begin:g}" for name, begin in PROBABILITY_BANDS.items())
        + "); churn_risk_category of the snapshot is by a rule",
        isin=tuple(PROBABILITY_BANDS),
    )
    reason_1: Text = column(
        "Feature that pushes the score most, against its typical value; null where none does",
        nullable=True,
    )
    push_1: Double = column("By how much, in log-odds; above 0 it raises the risk")
    reason_2: Text = column("Feature that pushes second", nullable=True)
    push_2: Double = column("By how much")
    reason_3: Text = column("Feature that pushes third", nullable=True)
    push_3: Double = column("By how much")
    model_version: Text = column("Version of the model that predicted")


@table(
    group="churn",
    key=("snapshot_date", "customer_id"),
    partitioning="daily",
    window_column="snapshot_date",
)
class ChurnPredictions(Score, SnapshotKey):
    """Probability of churn of every customer who has bought, as of each day.

    Only days that were the newest when they were scored have rows. The other partitions are
    missing by design: a later model has seen what followed them. The job score_day scores a day.
    """

    expected_purchases: Double = column(
        "Days with a purchase expected within the horizon, by the BG/NBD model; null without one",
        nullable=True,
        ge=0,
    )
    expected_value: Double = column(
        "Money expected within the horizon: expected_purchases x the mean spend expected by the "
        "Gamma-Gamma model; null without one",
        nullable=True,
        ge=0,
    )
    lifetime_value: Double = column(
        "Money expected within 12 months, discounted by 10% a year, by both models; null without",
        nullable=True,
        ge=0,
    )
    lifetime_value_low: Double = column(
        "Lower end of the interval in which the customer's own spending lies with 90%",
        nullable=True,
    )
    lifetime_value_high: Double = column("Upper end of that interval", nullable=True)


@table(group="churn", key=("as_of", "model_version"), is_view=True)
class ChurnWindows(TableModel):
    """Days that were scored and whose churn window has closed: what happened is known."""

    snapshot_date: Date = column("Day that was scored")
    as_of: Date = column("The day after: first day of the window")
    model_version: Text = column("Version of the model that scored")
    horizon_days: Integer = column("Length of the model's window in days", ge=1)
    label_end: Date = column("Exclusive end of the window")
    is_prediction: Boolean = column("The model had not seen labels from after as_of")
    promised_auc_low: Double = column(
        "Lower end of the interval of roc_auc in the model's backtest", nullable=True
    )


@table(
    group="churn",
    key=("as_of", "model_version", "customer_id"),
    is_view=True,
    view_day="as_of",
)
class ChurnOutcomes(TableModel):
    """Whether each scored customer churned, once the churn window has closed.

    The label uses the horizon of the model that scored.
    """

    as_of: Date = column("First day of the window")
    customer_id: Text = column("Customer who was scored", person=CUSTOMER_KEY)
    model_version: Text = column("Version of the model that scored")
    churn_probability: Double = column(
        "Probability of churn that was predicted", in_range={"min_value": 0, "max_value": 1}
    )
    horizon_days: Integer = column("Length of the window in days", ge=1)
    churned: Boolean = column("No sale within the window")
    net_amount: Money = column("Net amount up to as_of; null without a snapshot", nullable=True)
    tenure_days: Integer = column(
        "Days from the first sale to as_of; null without a snapshot", nullable=True
    )


class PerformanceKey(TableModel):
    """Columns before the measures of past scores."""

    as_of: Date = column("as_of that was predicted from; its window has closed")
    model_version: Text = column("Version of the model that predicted")
    customers: BigInt = column("Customers predicted", ge=1)
    mean_predicted: Double = column("Mean predicted probability")


@table(group="churn", key=("as_of", "model_version"))
class ChurnPerformance(Measures, PerformanceKey):
    """Past predictions compared with what happened, once the window has closed.

    Scores of a day before the model's last label are no predictions and left out.
    """

    shortfall: Text = column(
        "How the scores were worse than in the backtest; null where they were not",
        nullable=True,
    )


DRIFT_VERDICTS = ("stable", "moderate", "major", "by construction", "not testable")


@table(group="churn", key=("snapshot_date", "feature"))
class ChurnDrift(TableModel):
    """How the inputs and scores of a day differ from those at the model's training.

    Bins are those of the training. Drift has to be large, and larger than chance allows with so
    many customers.
    """

    snapshot_date: Date = column("Day that was scored")
    feature: Text = column("Input of the model, or churn_probability")
    model_version: Text = column("Version of the model that scored")
    psi: Double = column("Population stability index against the training", ge=0)
    expected_psi: Double = column("What chance alone gives on average", ge=0)
    p_value: Double = column("Probability of such an index, were nothing changed")
    rows: BigInt = column("Customers scored", ge=0)
    reference_rows: BigInt = column("Customers at training", ge=0)
    missing: Double = column("Share without a value")
    reference_missing: Double = column("The same at training")
    verdict: Text = column(
        "stable, moderate or major; by construction for what grows with time", isin=DRIFT_VERDICTS
    )


@table(
    group="churn",
    key=("model_version", "candidate"),
    volatile=("registered_version",),
    is_history=True,
)
class SubscriptionModel(Training):
    """Every training on subscribers: how its candidates did in cross-validation, and the choice.

    Measures are over all folds together: each subscriber is predicted by a fit that had not seen
    them.
    """


class SubscriberKey(TableModel):
    """Columns before the score of a subscriber."""

    customer_id: Text = column("Subscriber who has not left", person=CUSTOMER_KEY)


@table(group="churn", key=("customer_id",))
class SubscriptionPredictions(Score, SubscriberKey):
    """Probability that a subscriber leaves, for all who have not."""

    expected_loss: Money = column(
        "churn_probability x monthly_charges x 12: the money of a year that is at stake; null "
        "without monthly charges",
        nullable=True,
    )
