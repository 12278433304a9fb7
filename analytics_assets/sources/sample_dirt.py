"""Planted dirt: known bad rows in the generated sample, each counted and named.

Belongs here: which kinds of dirty row exist, how often, and what each looks like.
Does not belong here: the process that makes clean rows, and how rows are judged.

Every planted row is of exactly one kind, and only completed sales without copies are dirtied, so
tests can count the rows of each kind in the files.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Share of the rows of the table that each kind takes.
ORDER_DIRT = {
    "exact_duplicate": 0.0010,  # the whole row again, in the same file
    "same_key_new_content": 0.0005,  # the same key again, newer, another quantity
    "orphan_customer": 0.0005,
    "orphan_product": 0.0004,
    "missing_customer": 0.0003,
    "missing_amount": 0.0008,
    "amount_mismatch": 0.0004,
    "zero_price": 0.0003,
    "negative_price": 0.0002,
    "zero_quantity": 0.0003,
    "unreadable_quantity": 0.0003,
    "unreadable_price": 0.0003,
    "unreadable_date": 0.0003,
    "missing_date": 0.0002,
    "outlier_quantity": 0.0003,
}
SESSION_DIRT = {"session_orphan_customer": 0.0003, "session_unreadable_start": 0.0002}

COPIES = ["exact_duplicate", "same_key_new_content"]
UNREADABLE_QUANTITY = ("two", "2.7")
UNREADABLE_PRICE = ("12,50", "n/a", "NaN")
UNREADABLE_DATE = ("2024-02-30 10:00:00", "03/04/2024")


def ids(prefix: str, numbers: NDArray[np.integer]) -> NDArray[np.str_]:
    """Identifiers of one width: `ids("C", [0])` is `["C1000001"]`. Shape as `numbers`."""
    return np.char.add(prefix, (np.asarray(numbers, np.int64) + 1_000_001).astype("U20"))


def money(cents: NDArray[np.integer]) -> NDArray[np.str_]:
    """Whole cents as text with two decimals: -5 is '-0.05'. Shape as `cents`."""
    values, inverse = np.unique(cents, return_inverse=True)
    return np.char.mod("%.2f", values / 100)[inverse]


def timestamps(seconds: NDArray[np.integer]) -> NDArray[np.str_]:
    """Seconds since 1970 (UTC) as 'YYYY-MM-DD HH:MM:SS'. Shape as `seconds`."""
    text = np.datetime_as_string(np.asarray(seconds, "datetime64[s]"))
    if text.size:
        text.view("U1").reshape(text.size, -1)[:, 10] = " "
    return text


def _choose(
    clean: NDArray[np.bool_], shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Disjoint row positions for each kind: at least one each while clean rows last."""
    sizes = [max(1, round(share * len(clean))) for share in shares.values()]
    chosen = rng.permutation(np.flatnonzero(clean))[: sum(sizes)]
    return dict(zip(shares, np.split(chosen, np.cumsum(sizes)[:-1]), strict=True))


def dirty_orders(
    orders: pd.DataFrame,
    clean: NDArray[np.bool_],
    customers: int,
    categories: NDArray[np.str_],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Plant every kind of `ORDER_DIRT`.

    Args:
        orders: n rows, indexed 0, 1, ...: order, line_number, customer, product, quantity, price
            (cents), ordered and updated (seconds since 1970), day, status, late.
        clean: (n,) rows that may be dirtied.
        customers: how many are known; orphans are numbered past them.
        categories: of each known product; orphans are numbered past them and have none.
        rng: source of randomness.

    Returns:
        The rows as text in the file's columns, with `kind` ("" when not planted), `day` and `late`.
        The kinds that repeat a key add rows, at the end.
    """
    at = _choose(clean, ORDER_DIRT, rng)
    orders = orders.copy()
    kind = np.full(len(orders), "", dtype=object)
    for name, rows in at.items():
        kind[rows] = name

    def put(name: str, column: str, values: Any) -> None:
        orders.loc[at[name], column] = values

    def cycle(name: str, values: tuple[str, ...]) -> NDArray[np.str_]:
        return np.resize(values, len(at[name]))

    copies = np.concatenate([at[name] for name in COPIES])
    put("orphan_customer", "customer", customers + np.arange(len(at["orphan_customer"])))
    put("orphan_product", "product", len(categories) + np.arange(len(at["orphan_product"])))
    put("zero_price", "price", 0)
    put("negative_price", "price", -orders["price"].to_numpy()[at["negative_price"]])
    put("zero_quantity", "quantity", 0)
    put("outlier_quantity", "quantity", rng.integers(100, 1000, len(at["outlier_quantity"])) + 1)

    orders = pd.concat([orders, orders.iloc[copies]], ignore_index=True)
    kind = np.append(np.where(np.isin(kind, COPIES), "", kind), kind[copies])
    newer = kind == "same_key_new_content"
    orders.loc[newer, "quantity"] += 1
    orders.loc[newer, "updated"] += 1

    cents = (orders["quantity"] * orders["price"]).to_numpy()
    wrong = at["amount_mismatch"]
    cents[wrong] += rng.integers(100, 2000, len(wrong)) * rng.choice([-1, 1], len(wrong))
    orders = pd.DataFrame(
        {
            "order_id": ids("O", orders["order"].to_numpy()),
            "line_number": orders["line_number"],
            "ordered_at": timestamps(orders["ordered"].to_numpy()),
            "customer_id": ids("C", orders["customer"].to_numpy()),
            "product_id": ids("P", orders["product"].to_numpy()),
            "product_category": np.append(categories, "")[
                np.minimum(orders["product"].to_numpy(), len(categories))
            ],
            "quantity": orders["quantity"].to_numpy().astype("U20"),
            "unit_price": money(orders["price"].to_numpy()),
            "amount": money(cents),
            "status": orders["status"],
            "updated_at": timestamps(orders["updated"].to_numpy()),
            "kind": kind,
            "day": orders["day"],
            "late": orders["late"],
        }
    )
    put("missing_customer", "customer_id", "")
    put("missing_amount", "amount", "")
    put("unreadable_quantity", "quantity", cycle("unreadable_quantity", UNREADABLE_QUANTITY))
    put("unreadable_price", "unit_price", cycle("unreadable_price", UNREADABLE_PRICE))
    put("unreadable_date", "ordered_at", cycle("unreadable_date", UNREADABLE_DATE))
    put("missing_date", "ordered_at", "")
    return orders


def dirty_sessions(
    sessions: pd.DataFrame, clean: NDArray[np.bool_], customers: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Plant every kind of `SESSION_DIRT` in n session rows of text, indexed 0, 1, ...

    `clean` is (n,); orphans are numbered past the known `customers`. Returns the rows with a
    `kind` column, "" when not planted.
    """
    sessions = sessions.assign(kind="")
    at = _choose(clean, SESSION_DIRT, rng)
    for name, rows in at.items():
        sessions.loc[rows, "kind"] = name
    orphans, unreadable = at.values()
    sessions.loc[orphans, "customer_id"] = ids("C", customers + np.arange(len(orphans)))
    sessions.loc[unreadable, "started_at"] = np.resize(UNREADABLE_DATE, len(unreadable))
    return sessions
