"""Support tickets, with every version of a ticket that was seen."""

from analytics_assets.sources.declared.base import Contract, Rule, Source

SUPPORT_TICKETS = Source(
    Contract("support_tickets", ("ticket_id", "customer_id", "opened_at"), "opened_at"),
    rows="tickets",
    stand_ins=("stg_support_tickets", "fact_support_tickets", "ticket_corrections"),
    fact="fact_support_tickets",
    corrections="ticket_corrections",
    # A ticket may come from somebody who is no customer.
    members={"customers": False},
    identity=("ticket_id",),
    changing=(
        *("customer_id", "first_response_at", "resolved_at", "status", "channel", "priority"),
        *("category", "satisfaction", "updated_at"),
    ),
    rules=(
        *(
            Rule(
                "raw_support_tickets",
                f"ticket_is_{words}_after_it_is_opened",
                f"No ticket is {words} before it is opened.",
                f"Map another column to {column}; such a ticket counts as {words}, and the time to "
                "it is null.",
                broken=f"{column} < opened_at",
            )
            for words, column in (("answered", "first_response_at"), ("resolved", "resolved_at"))
        ),
    ),
)
