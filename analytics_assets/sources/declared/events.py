"""Events of the site or app: of the stream's lake, or of files."""

from analytics_assets.sources.declared.base import Contract, Rule, Source

EVENTS = Source(
    Contract("events", ("event_id", "event_type", "event_time"), "event_time"),
    rows="events",
    fact="fact_events",
    # Events may be anonymous.
    members={"customers": False},
    identity=("event_id",),
    builds=("fact_user_sessions", "session_corrections"),
    rules=(
        Rule(
            "raw_events",
            "event_has_a_visitor",
            "Every event names a customer or a session.",
            "Correct the producer, or map the column of the visitor: such events are of no session "
            "and of no visitor.",
            broken="customer_id IS NULL AND session_id IS NULL",
            dimension="completeness",
        ),
        Rule(
            "raw_events",
            "purchase_has_a_total",
            "Every purchase has its money.",
            "Correct the producer: such purchases count, and add no money.",
            broken="order_total IS NULL",
            applies="event_type = 'purchase'",
            dimension="completeness",
        ),
    ),
)
