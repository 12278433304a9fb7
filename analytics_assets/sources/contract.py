"""The contract: the columns that a source supplies, in our names and types.

Belongs here: which columns of a raw table come from the source, and which a source must have.
Does not belong here: how a team's columns are named (config) or read (files).
"""

from dataclasses import dataclass

from analytics_assets.schemas import TABLES, Table

LOAD_COLUMNS = ("line_key", "source_file", "source_row", "loaded_at")
# A column that holds whatever further columns the configuration names, as a JSON object.
ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class Contract:
    """What one source supplies.

    Attributes:
        source: orders, customers, products, user_sessions or subscriptions.
        required: columns that the source must have; the others come as NULL where it does not.
        time_column: the column that puts a row into a window; None for unpartitioned sources.
        apart: it has nothing to do with orders: it needs none, and is loaded without their days.
    """

    source: str
    required: tuple[str, ...]
    time_column: str | None = None
    apart: bool = False

    @property
    def table(self) -> Table:
        """The raw table that the source is loaded into."""
        return TABLES[f"raw_{self.source}"]

    @property
    def columns(self) -> list[str]:
        """Columns that can come from the source."""
        derived = (*LOAD_COLUMNS, self.table.window_column)
        return [name for name in self.table.columns if name not in derived]

    @property
    def mappable(self) -> list[str]:
        """Those of them that are one column of the source each."""
        return [name for name in self.columns if name != ATTRIBUTES]

    @property
    def not_null(self) -> list[str]:
        """Columns without which a row is rejected."""
        return [name for name in self.columns if not self.table.schema.columns[name].nullable]


CONTRACTS = {
    contract.source: contract
    for contract in (
        Contract(
            "orders",
            ("order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price"),
            "ordered_at",
        ),
        Contract("user_sessions", ("session_id", "customer_id", "started_at"), "started_at"),
        Contract("customers", ("customer_id",)),
        Contract("products", ("product_id",)),
        Contract("subscriptions", ("customer_id", "churned"), apart=True),
    )
}
