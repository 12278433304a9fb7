"""The shop that the benchmarks read: the process of the sample in any size, with the same dirt.

Belongs here: orders, customers and products as files, a file of orders for each day, and the
`sources.yaml` that names them. Does not belong here: what is measured (`run`).

`python benchmarks/data.py FOLDER --lines 1000000` writes one to look at.
`analytics_assets.sources.sample_process` draws customers, orders and lines, one block of customers
after the other; DuckDB adds text and dirt, and writes the files. The rows are as in
`analytics_assets.sources.sample`, which writes with pandas, and also what it planted in each row.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from analytics_assets.sources.sample import CATEGORIES, FIRST, LAST, PLACES
from analytics_assets.sources.sample_dirt import (
    ORDER_DIRT,
    UNREADABLE_DATE,
    UNREADABLE_PRICE,
    UNREADABLE_QUANTITY,
)
from analytics_assets.sources.sample_process import DAY, PRODUCTS, clocks, order_lines, purchases

END = date(2025, 12, 31)  # of every shop, however long: the day without rows
BLOCK = 100_000  # customers drawn at once
VERSION = 1  # raise it with every change of the files


@dataclass(frozen=True)
class Shop:
    """A generated shop on disk.

    Attributes:
        folder: has sources.yaml, orders/, customers.csv and products.csv.
        lines: order lines in all files, dirty ones included.
        customers: rows of customers.csv.
        days: days with rows; the day after them, END, has a file without any.
    """

    folder: Path
    lines: int
    customers: int
    days: int

    @property
    def start(self) -> date:
        """The first day with rows."""
        return _start(self.days)

    @property
    def last(self) -> date:
        """The last day with rows."""
        return END - timedelta(1)

    @property
    def sources(self) -> Path:
        """The project's configuration of the shop."""
        return self.folder / "sources.yaml"


def _start(days: int) -> date:
    return END - timedelta(days)


def write_shop(
    folder: Path, lines: int, days: int = 730, customers: int | None = None, seed: int = 7
) -> Shop:
    """Write a shop of about so many order lines over so many days, unless it exists.

    The number of customers follows from both, unless it is given instead of the lines: 95,000
    customers buy a million lines within two years.
    """
    asked = {"lines": lines, "days": days, "customers": customers, "seed": seed, "end": str(END)}
    wanted = {"version": VERSION, "asked": asked}
    manifest = folder / "manifest.json"
    if manifest.is_file():
        existing = json.loads(manifest.read_text())
        if {name: existing.pop(name) for name in wanted} == wanted:
            return Shop(folder, days=days, **existing)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "orders").mkdir(parents=True)
    with duckdb.connect(str(folder / "drawn.duckdb")) as connection:
        customers = _draw(connection, lines, days, customers, seed)
        written = _write_orders(connection, folder, customers, days)
        _write_members(connection, folder, days)
    (folder / "drawn.duckdb").unlink()
    (folder / "sources.yaml").write_text(
        f"calendar: {{start: {_start(days)}, end: {END + timedelta(1)}}}\n"
        "orders: {path: 'orders/orders_{date}.csv', late_days: 7, max_volume_change: null}\n"
        "customers: {path: customers.csv}\nproducts: {path: products.csv}\n"
    )
    counts = {"lines": written, "customers": customers}
    manifest.write_text(json.dumps(wanted | counts))
    return Shop(folder, days=days, **counts)


def one_file(shop: Shop) -> Shop:
    """The same shop with all order lines in one file, in the order of the days."""
    folder = shop.folder.with_name(f"{shop.folder.name}-one-file")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with (folder / "orders.csv").open("w") as orders:
        for number, file in enumerate(sorted((shop.folder / "orders").iterdir())):
            header, _, rows = file.read_text().partition("\n")
            orders.write(rows if number else f"{header}\n{rows}")
    text = shop.sources.read_text().replace(
        "orders/orders_{date}.csv', late_days: 7", "orders.csv'"
    )
    for name in ("customers", "products"):
        text = text.replace(f"{name}.csv", str(shop.folder / f"{name}.csv"))
    (folder / "sources.yaml").write_text(text)
    return Shop(folder, shop.lines, shop.customers, shop.days)


def correct_lines(shop: Shop, days: int, lines: int) -> None:
    """Raise the quantity of a few completed lines of a shop of one file, on scattered days."""
    file = shop.folder / "orders.csv"
    rows = file.read_text().splitlines(keepends=True)
    columns = rows[0].strip().split(",")
    time, quantity, status = (columns.index(n) for n in ("ordered_at", "quantity", "status"))
    step = shop.days // days
    wanted = [str(shop.start + timedelta(step * n)) for n in range(days)]
    wanted += wanted[: lines - days]
    for number, row in enumerate(rows):
        values = row.split(",")
        day = values[time][:10]
        if day in wanted and values[status] == "completed" and values[quantity].isdigit():
            wanted.remove(day)
            values[quantity] = str(int(values[quantity]) + 1)
            rows[number] = ",".join(values)
    assert not wanted, f"days without a line to correct: {wanted}"
    file.write_text("".join(rows))


def _draw(
    connection: duckdb.DuckDBPyConnection, lines: int, days: int, customers: int | None, seed: int
) -> int:
    """Create `lines`, `customers` and `products` as numbers; returns how many customers."""
    rng = np.random.default_rng(seed)
    epoch = int(np.datetime64(_start(days), "s").astype(np.int64))
    operational, calendar = clocks(epoch, days, 1.0)
    category = rng.integers(len(CATEGORIES), size=PRODUCTS)
    median = np.array(list(CATEGORIES.values()))[category]
    price = np.sort((median * rng.lognormal(0, 0.5, PRODUCTS)).astype(np.int64) * 100 + 99)
    connection.execute(
        "CREATE TABLE products AS SELECT unnest($1)::INT AS price, unnest($2)::INT AS shelf",
        [price.tolist(), category.tolist()],
    )

    def block(number: int, customers: int) -> tuple[np.ndarray, pd.DataFrame]:
        """When each customer registered, and the lines of one block."""
        rng = np.random.default_rng([seed, number])
        people, orders = purchases(customers, days / 7, rng)
        weeks = np.append(people["registered"].to_numpy(), orders["week"].to_numpy())
        seconds = np.interp(weeks * 7 * DAY, operational, calendar).astype(np.int64)
        seconds = seconds // DAY * DAY + np.minimum(seconds % DAY, DAY - 4)
        orders["ordered"] = seconds[customers:]
        return seconds[:customers], order_lines(orders, price, customers, days, rng)

    if customers is None:
        pilot = 5_000
        customers = max(round(lines * pilot / len(block(0, pilot)[1])), 100)
    blocks = -(-customers // BLOCK)
    first = 0
    for number in range(blocks):
        size = (customers - first) // (blocks - number)
        registered, drawn = block(number + 1, size)
        connection.register("drawn", drawn)
        connection.register("registered", pd.DataFrame({"second": registered, "n": range(size)}))
        into = "CREATE TABLE lines AS" if number == 0 else "INSERT INTO lines"
        # Order numbers rise in time, as in a shop, in all blocks together.
        connection.execute(f"""{into} SELECT
            "order" * {blocks} + {number} AS "order", line_number::INT AS line_number,
            make_timestamp((ordered + {epoch}) * 1000000) AS ordered,
            make_timestamp((updated + {epoch}) * 1000000) AS updated,
            (customer + {first})::INT AS customer, product::INT AS product,
            quantity::INT AS quantity, price::INT AS price, status, late, day::INT AS day
            FROM drawn""")
        into = "CREATE TABLE customers AS" if number == 0 else "INSERT INTO customers"
        connection.execute(
            f"{into} SELECT {first} + n AS customer, "
            f"make_timestamp((second + {epoch}) * 1000000) AS registered FROM registered"
        )
        first += size
    return customers


def _write_orders(
    connection: duckdb.DuckDBPyConnection, folder: Path, customers: int, days: int
) -> int:
    """Write a file for each day, and one without rows; returns the lines in all files."""
    clean = connection.execute(
        "SELECT avg((status = 'completed' AND NOT late)::INT) FROM lines"
    ).fetchall()[0][0]
    # Shares are of all lines, and only clean ones become dirty.
    bounds = zip(ORDER_DIRT, np.cumsum(list(ORDER_DIRT.values())) / clean, strict=True)
    kinds = " ".join(f"WHEN chance < {bound} THEN '{kind}'" for kind, bound in bounds)
    connection.execute(_DIRTY.format(kinds=kinds, customers=customers))
    connection.execute("DROP TABLE lines")
    written = 0
    for day in range(days + 1):
        file = folder / "orders" / f"orders_{_start(days) + timedelta(day)}.csv"
        copied = connection.execute(
            f"COPY ({_TEXT.format(day=day)}) TO '{file}' (HEADER)"
        ).fetchone()
        written += copied[0] if copied else 0
    return written


def _one_of(values: tuple[str, ...]) -> str:
    return f'{list(values)}[1 + (hash("order") % {len(values)})::INT]'


# Copies of a line are the same, or newer with another quantity.
_DIRTY = f"""
    CREATE TABLE dirty AS
    WITH chances AS (
        SELECT *, CASE WHEN status = 'completed' AND NOT late
            THEN hash("order", line_number) / 18446744073709551616 END AS chance
        FROM lines
    ),
    planted AS (SELECT *, CASE {{kinds}} END AS kind FROM chances),
    repeated AS (
        SELECT *, FALSE AS newer FROM planted
        UNION ALL
        SELECT *, kind = 'same_key_new_content'
        FROM planted WHERE kind IN ('exact_duplicate', 'same_key_new_content')
    )
    SELECT "order", line_number, day, status, kind, ordered,
        updated + to_seconds(newer::INT) AS updated,
        CASE kind WHEN 'orphan_customer' THEN {{customers}} + (hash("order") % 10000)::INT
            ELSE customer END AS customer,
        CASE kind WHEN 'orphan_product' THEN {PRODUCTS} + (hash("order") % 1000)::INT
            ELSE product END AS product,
        CASE kind WHEN 'zero_price' THEN 0 WHEN 'negative_price' THEN -price
            ELSE price END AS price,
        CASE kind WHEN 'zero_quantity' THEN 0
            WHEN 'outlier_quantity' THEN 101 + (hash("order") % 900)::INT
            ELSE quantity + newer::INT END AS quantity
    FROM repeated
    ORDER BY updated, "order", line_number
"""
# The rows of a day as text.
_TEXT = f"""
    SELECT
        'O' || 1000001 + "order" AS order_id,
        line_number,
        CASE kind WHEN 'missing_date' THEN ''
            WHEN 'unreadable_date' THEN {_one_of(UNREADABLE_DATE)}
            ELSE strftime(ordered, '%Y-%m-%d %H:%M:%S') END AS ordered_at,
        CASE kind WHEN 'missing_customer' THEN '' ELSE 'C' || 1000001 + customer END AS customer_id,
        'P' || 1000001 + product AS product_id,
        CASE kind WHEN 'unreadable_quantity' THEN {_one_of(UNREADABLE_QUANTITY)}
            ELSE quantity::TEXT END AS quantity,
        CASE kind WHEN 'unreadable_price' THEN {_one_of(UNREADABLE_PRICE)}
            ELSE (price / 100)::DECIMAL(18, 2)::TEXT END AS unit_price,
        CASE kind WHEN 'missing_amount' THEN ''
            WHEN 'amount_mismatch' THEN (quantity * price / 100 + 7)::DECIMAL(18, 2)::TEXT
            ELSE (quantity * price / 100)::DECIMAL(18, 2)::TEXT END AS amount,
        status,
        strftime(updated, '%Y-%m-%d %H:%M:%S') AS updated_at
    FROM dirty WHERE day = {{day}}
"""


def _write_members(connection: duckdb.DuckDBPyConnection, folder: Path, days: int) -> None:
    """Write customers.csv and products.csv."""
    first, last = FIRST.split(), LAST.split()
    places = [place.split(",") for place, weight in PLACES.items() for _ in range(weight)]
    connection.execute(f"""
        COPY (
            SELECT 'C' || 1000001 + customer AS customer_id,
                lower(strip_accents(first_name || '.' || last_name)) || customer || '@example.com'
                    AS email,
                first_name, last_name,
                strftime(registered, '%Y-%m-%d %H:%M:%S') AS registered_at,
                place[1] AS country, place[2] AS city,
                registered_at AS updated_at
            FROM (
                SELECT *,
                    {first}[1 + (hash(customer) % {len(first)})::INT] AS first_name,
                    {last}[1 + (hash(customer + 1) % {len(last)})::INT] AS last_name,
                    {places}[1 + (hash(customer + 2) % {len(places)})::INT] AS place
                FROM customers
            )
            ORDER BY customer
        ) TO '{folder}/customers.csv' (HEADER)
    """)
    connection.execute(f"""
        COPY (
            SELECT 'P' || 1000000 + n AS product_id,
                {list(CATEGORIES)}[1 + shelf] AS category, category || ' ' || n AS product_name,
                (price / 100)::DECIMAL(18, 2) AS list_price,
                (price * 0.006)::DECIMAL(18, 2) AS unit_cost,
                '{END - timedelta(1)} 00:00:00' AS updated_at
            FROM (SELECT *, row_number() OVER (ORDER BY price) AS n FROM products)
            ORDER BY n
        ) TO '{folder}/products.csv' (HEADER)
    """)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=730)
    options = parser.parse_args()
    print(write_shop(options.folder, options.lines, options.days))
