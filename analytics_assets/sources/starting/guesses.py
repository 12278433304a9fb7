"""What files of an unknown system are probably, by the names of their columns and their values.

Belongs here: guesses, each marked as one. Does not belong here: known systems, which are declared.
"""

from collections.abc import Sequence

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.starting.forms import present
from analytics_assets.sources.systems.base import Mapped
from analytics_assets.sources.systems.names import ADDRESSES, guess, is_address, plain_name

GUESS = "guess: look at it"
# Parts of status words, and what they say.
STATUS_PARTS = {
    "cancelled": "cancel void fail declin denied expire reject storno abandon annul error",
    "returned": "refund return retour chargeback",
    "pending": "pend await unpaid hold draft open wait",
    "completed": "complet paid deliver ship fulfil done closed process success settled invoiced",
}


def guessed_columns(connection: duckdb.DuckDBPyConnection, header: Sequence[str]) -> list[Mapped]:
    """Our columns, and those of the relation `rows` that are probably theirs."""
    contract = SOURCES["orders"].contract
    found = guess(contract.mappable, header)
    order = found.get("order_id")
    if order and not _always(connection, order):
        always = [name for name in header if _always(connection, name)]
        found |= guess(["order_id"], always)
    if "customer_id" not in found:
        by_name = {plain_name(name): name for name in header}
        address = next((by_name[name] for name in ADDRESSES if name in by_name), None)
        if address:
            found["customer_id"] = address
    if "unit_price" in found:
        found.pop("amount", None)
    status = found.get("status")
    if status and not _are_statuses(connection, status):
        del found["status"]
    columns = [Mapped(ours, [theirs], GUESS) for ours, theirs in found.items()]
    time = next((name for name in header if plain_name(name) in ("time", "ordertime")), None)
    if time and "ordered_at" in found and not _any_has(connection, found["ordered_at"], ":"):
        both = Mapped("ordered_at", [[found["ordered_at"], time]], f"{GUESS}. Two columns")
        columns = [both if column.ours == "ordered_at" else column for column in columns]
    if "order_id" not in found and {"customer_id", "ordered_at"} <= {*found}:
        customer = found["customer_id"]
        why = f"{GUESS}. No column numbers orders: what a customer buys at one time is one"
        if not (is_address(customer) or _any_has(connection, customer, "@")):
            columns.append(Mapped("order_id", [[customer, found["ordered_at"]]], why))
    if "quantity" not in found and {"unit_price", "amount"} & {*found}:
        columns.append(Mapped("quantity", [{"value": 1}], f"{GUESS}. Each row is one piece"))
    places = [*contract.mappable]
    return sorted(columns, key=lambda column: places.index(column.ours))


def guessed_status(word: str) -> str:
    """Our status for a word of an unknown kind."""
    for ours, parts in STATUS_PARTS.items():
        if any(part in word for part in parts.split()):
            return ours
    return "completed"


def _always(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether every row has a value."""
    query = f"SELECT bool_and(coalesce(trim({identifier(name)}) <> '', false)) FROM rows"
    return bool(connection.execute(query).fetchall()[0][0])


def _any_has(connection: duckdb.DuckDBPyConnection, name: str, mark: str) -> bool:
    """Whether a value of a column has a mark in it."""
    query = f"SELECT bool_or(contains({identifier(name)}, {literal(mark)})) FROM rows"
    return bool(connection.execute(query).fetchall()[0][0])


def _are_statuses(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether most words of a column say what became of an order."""
    query = present(f"lower({identifier(name)})", "rows")
    words = [str(text) for (text,) in connection.execute(query).fetchall()]
    parts = [part for listed in STATUS_PARTS.values() for part in listed.split()]
    known = [word for word in words if any(part in word for part in parts)]
    return 0 < len(words) <= 30 and len(known) * 2 >= len(words)
