"""Sessions of users."""

from analytics_assets.sources.declared.base import Contract, Rule, Source

USER_SESSIONS = Source(
    Contract("user_sessions", ("session_id", "customer_id", "started_at"), "started_at"),
    rows="sessions",
    stand_ins=("stg_user_sessions", "fact_user_sessions", "session_corrections"),
    fact="fact_user_sessions",
    corrections="session_corrections",
    # Sessions may be anonymous.
    members={"customers": False},
    identity=("session_id",),
    rules=(
        Rule(
            "raw_user_sessions",
            "session_ends_after_its_start",
            "No session ends before it starts.",
            "Correct the clock of the tracker; the duration of such a session is null.",
            broken="ended_at < started_at",
        ),
    ),
    sample="user_sessions/user_sessions_{date}.csv",
    sample_words={"late_days": 7},
)
