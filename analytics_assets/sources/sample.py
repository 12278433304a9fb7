"""A generated shop: source files to start with, whose true figures are in a manifest.

Belongs here: the sample's files, its text, and the manifest.
Does not belong here: the process that is sampled (`sample_process`), planted dirt (`sample_dirt`),
reading, typing or judging rows.
"""

import json
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_assets.sources.sample_dirt import (
    ORDER_DIRT,
    SESSION_DIRT,
    dirty_orders,
    dirty_sessions,
    ids,
    money,
    timestamps,
)
from analytics_assets.sources.sample_process import (
    DAY,
    PROCESS,
    PRODUCTS,
    Floats,
    Ints,
    clocks,
    order_lines,
    purchases,
    sessions,
)

GENERATOR = "analytics_assets sample"
VERSION = 2  # raise it with every change of the bytes written

# Median list price.
CATEGORIES = {"Beauty": 18, "Books": 14, "Food": 8, "Garden": 45, "Home": 38, "Sports": 55}
CATEGORIES |= {"Electronics": 120, "Toys": 24}
ADJECTIVES = "Basic Bright Classic Compact Deluxe Fresh Light Modern Quiet Simple Small Sturdy"
# Relative weights.
PLACES = {"DE,Berlin": 5, "DE,Köln": 3, "US,Chicago": 6, "US,Austin": 4, "GB,London": 5}
PLACES |= {"FR,Lyon": 3, "ES,Málaga": 2, "NL,Utrecht": 2, "SE,Malmö": 1, "PL,Łódź": 1}
DEVICES = {"mobile": 56, "desktop": 37, "tablet": 7}
CHANNELS = {"search": 32, "direct": 26, "email": 14, "ads": 12, "social": 11, "referral": 5}
FIRST = "Ada Anaïs Ben Chloé Dana Elif Femi Grace Hugo Ines Jörg Kofi Léa Mia Noah Olga Priya Zoë"
SIGNED_IN_LATER = 0.01  # of the anonymous visits
LAST = "Andersson Brown Costa Dubois Evans García Hoffmann Ito Jones Kaya Li Müller Novák Okafor"


def write_sample(
    out: Path,
    customers: int = 20_000,
    months: int = 24,
    seed: int = 7,
    start: date = date(2024, 1, 1),
    seasonality: float = 1.0,
) -> dict[str, Any]:
    """Write a sample source under `out` and return its manifest.

    The same arguments give the same bytes (with one version of numpy and pandas). An existing
    sample with the same arguments is kept; another sample is replaced as a whole. The files appear
    together or not at all.

    Args:
        out: directory to create, with its parents.
        customers: rows of customers.csv; about a tenth never order.
        months: length of the span [start, start + months), in calendar months.
        seed: seed of all random draws; not negative.
        start: first day (UTC).
        seasonality: strength of time of year, weekday and hour, from 0 (none) to 1.

    Returns:
        The content of manifest.json: generator, version, arguments, start, end (exclusive), rows by
        table, process (rates a week), dirty (planted rows by kind) and legitimate (rows by kind
        that look odd but are right).

    Raises:
        ValueError: an argument is out of range, or `out` exists and is not an earlier sample.
    """
    for name, value in {"customers": customers, "months": months}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}.")
    if not 0 <= seasonality <= 1:
        raise ValueError(f"seasonality must be between 0 and 1, not {seasonality}.")
    end = (pd.Timestamp(start) + pd.DateOffset(months=months)).date()
    head = {
        "generator": GENERATOR,
        "version": VERSION,
        "arguments": {
            "customers": customers,
            "months": months,
            "seed": seed,
            "start": str(start),
            "seasonality": float(seasonality),
        },
    }
    out = Path(out)
    earlier = _earlier_manifest(out)
    if earlier and {name: earlier.get(name) for name in head} == head:
        return earlier

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        new = Path(scratch) / "new"
        body = _write(new, customers, start, end, seasonality, np.random.default_rng(seed))
        manifest = head | {"start": str(start), "end": str(end)} | body
        (new / "manifest.json").write_bytes((json.dumps(manifest, indent=2) + "\n").encode())
        if earlier:
            out.rename(Path(scratch) / "old")
        new.rename(out)
    return manifest


def _earlier_manifest(out: Path) -> dict[str, Any]:
    """The manifest of the sample at `out`; empty if it does not exist."""
    if not out.exists():
        return {}
    try:
        manifest = json.loads((out / "manifest.json").read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("generator") != GENERATOR:
        raise ValueError(
            f"{out} exists and is not a generated sample (no manifest.json of one), so it is not"
            " overwritten. Give another directory, or move this one away."
        )
    return manifest


def _write(
    out: Path, customers: int, start: date, end: date, seasonality: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Write all files into the new directory `out`, and return the counts of the manifest."""
    epoch = int(np.datetime64(start, "s").astype(np.int64))
    days = (end - start).days
    operational, calendar = clocks(epoch, days, seasonality)

    def to_calendar(weeks: Floats) -> Ints:
        seconds = np.interp(weeks * 7 * DAY, operational, calendar).astype(np.int64)
        # A few seconds before midnight are left for updates within the day's file.
        return seconds // DAY * DAY + np.minimum(seconds % DAY, DAY - 4)

    people, orders = purchases(customers, days / 7, rng)
    orders["ordered"] = to_calendar(orders["week"].to_numpy())
    prices, products = _products(epoch, days, rng)
    lines = order_lines(orders, prices, customers, days, rng)
    lines[["ordered", "updated"]] += epoch
    clean = (lines["status"] == "completed") & ~lines["late"]
    categories = products["category"].to_numpy(str)
    lines = dirty_orders(lines, clean.to_numpy(), customers, categories, rng)

    visits = sessions(people, orders, days / 7, to_calendar, rng)
    known = visits["customer"].to_numpy()
    visits = pd.DataFrame(
        {
            "session_id": ids("S", np.arange(len(visits))),
            "customer_id": np.where(known < 0, "", ids("C", known)),
            "started_at": timestamps(visits["started"].to_numpy() + epoch),
            "ended_at": timestamps(visits["ended"].to_numpy() + epoch),
            "page_views": visits["page_views"],
            "device": _pick(DEVICES, len(visits), rng),
            "channel": _pick(CHANNELS, len(visits), rng),
            "updated_at": "",
            "day": visits["started"] // DAY,
        }
    )
    visits = dirty_sessions(visits, known >= 0, customers, rng)
    signed_in = _signed_in_later(visits, epoch, days, customers, rng.spawn(1)[0])
    visits = pd.concat([visits, signed_in], ignore_index=True)
    registered = to_calendar(people["registered"].to_numpy())
    dirty = [
        _write_days(out, "orders", lines.drop(columns="late"), start, days),
        _write_days(out, "user_sessions", visits, start, days),
    ]
    columns = ["kind", "file", "order_id", "line_number", "session_id"]
    tables = {
        "customers": _customers(registered, epoch, days, rng),
        "products": products,
        "dirty_rows": pd.concat(dirty).reindex(columns=columns).astype({"line_number": "Int64"}),
    }
    for name, table in tables.items():
        (out / f"{name}.csv").write_bytes(_csv(table).encode())

    def counts(column: pd.Series, kinds: Iterable[str]) -> dict[str, int]:
        return {kind: int((column == kind).sum()) for kind in kinds}

    status = lines["status"]
    late = int((lines["late"] & (status != "pending")).sum())
    return {
        "rows": {"orders": len(lines), "user_sessions": len(visits)}
        | {name: len(table) for name, table in tables.items()},
        "process": PROCESS
        | {"max_time_shift_days": round(float(np.abs(operational - calendar).max()) / DAY, 3)},
        "dirty": counts(lines["kind"], ORDER_DIRT) | counts(visits["kind"], SESSION_DIRT),
        "legitimate": {
            "returns": int((status == "returned").sum()),
            "cancellations": int((status == "cancelled").sum()),
            "late_status_changes": late,
            "pending_at_end": int((status == "pending").sum()) - late,
            "visits_signed_in_later": len(signed_in),
            "customers_without_order": customers - orders["customer"].nunique(),
        },
    }


def _pick(weights: Mapping[str, float], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """(n,) keys drawn in proportion to their weights."""
    share = np.array(list(weights.values())) / sum(weights.values())
    return np.array(list(weights))[rng.choice(len(share), n, p=share)]


def _signed_in_later(
    visits: pd.DataFrame, epoch: int, days: int, customers: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Newer rows, with a customer, of some anonymous visits, in the file of a later day.

    `visits` has a column `day`, from 0 at `epoch` to below `days`.
    """
    anonymous = visits[visits["customer_id"] == ""]
    rows = rng.permutation(len(anonymous))[: max(1, round(SIGNED_IN_LATER * len(anonymous)))]
    again = anonymous.iloc[np.sort(rows)]
    day = again["day"].to_numpy() + rng.integers(1, 7, len(again), endpoint=True)
    updated = epoch + day * DAY + rng.integers(0, DAY, len(again))
    customer = ids("C", rng.integers(0, customers, len(again)))
    again = again.assign(customer_id=customer, updated_at=timestamps(updated), day=day)
    return again[day < days]


def _products(epoch: int, days: int, rng: np.random.Generator) -> tuple[Ints, pd.DataFrame]:
    """List prices in cents, ascending, (PRODUCTS,), and the rows of products.csv.

    Prices are log-normal around their category's median.
    """
    category = rng.integers(len(CATEGORIES), size=PRODUCTS)
    median = np.array(list(CATEGORIES.values()))[category]
    cents = (median * rng.lognormal(0, 0.5, PRODUCTS)).astype(np.int64) * 100 + 99
    order = np.argsort(cents, kind="stable")
    cents, names = cents[order], np.array(list(CATEGORIES))[category[order]]
    adjective = rng.choice(ADJECTIVES.split(), PRODUCTS)
    cost = (cents * rng.uniform(0.45, 0.75, PRODUCTS)).astype(np.int64)
    updated = epoch + rng.integers(0, days * DAY, PRODUCTS)
    rows = {
        "product_id": ids("P", np.arange(PRODUCTS)),
        "product_name": [
            f"{a} {c} {i}" for i, (a, c) in enumerate(zip(adjective, names, strict=True), 1)
        ],
        "category": names,
        "list_price": money(cents),
        "unit_cost": money(cost),
        "updated_at": timestamps(updated),
    }
    return cents, pd.DataFrame(rows)


def _customers(registered: Ints, epoch: int, days: int, rng: np.random.Generator) -> pd.DataFrame:
    """The rows of customers.csv; `registered` is (n,) seconds since the span's start."""
    n = len(registered)
    first, last = (pd.Series(rng.choice(names.split(), n)) for names in (FIRST, LAST))
    number = pd.Series(np.arange(1, n + 1)).astype(str)
    plain = unicodedata.normalize("NFKD", f"{FIRST} {LAST}").encode("ascii", "ignore").decode()
    ascii_of = dict(zip(f"{FIRST} {LAST}".split(), plain.lower().split(), strict=True))
    domain = pd.Series(rng.choice(["@example.com", "@example.org", "@example.net"], n))
    place = pd.Series(_pick(PLACES, n, rng)).str.split(",", expand=True)
    updated = registered + (rng.random(n) * (days * DAY - registered)).astype(np.int64)
    return pd.DataFrame(
        {
            "customer_id": ids("C", np.arange(n)),
            "email": first.map(ascii_of) + "." + last.map(ascii_of) + number + domain,
            "first_name": first,
            "last_name": last,
            "registered_at": timestamps(epoch + registered),
            "country": place[0],
            "city": place[1],
            "updated_at": timestamps(epoch + updated),
        }
    )


def _csv(table: pd.DataFrame, header: bool = True) -> str:
    return table.to_csv(index=False, header=header, lineterminator="\n")


def _write_days(out: Path, name: str, rows: pd.DataFrame, start: date, days: int) -> pd.DataFrame:
    """Write one file for each day, also for a day without rows.

    Takes the rows with their `day` (0 is `start`) and `kind`; returns the planted ones with `file`.
    """
    folder = out / name
    folder.mkdir(parents=True)
    files = [f"{name}/{name}_{start + timedelta(days=day)}.csv" for day in range(days)]
    rows = rows.sort_values("day", kind="stable", ignore_index=True)
    day, columns = rows["day"].to_numpy(), rows.columns.drop(["day", "kind"])
    header = _csv(rows.loc[[], columns])
    # No value contains a line break, so the text can be split into days.
    text = _csv(rows[columns], header=False).split("\n")
    ends = np.searchsorted(day, np.arange(days + 1))
    for file, begin, end in zip(files, ends[:-1], ends[1:], strict=True):
        (out / file).write_bytes((header + "".join(f"{t}\n" for t in text[begin:end])).encode())
    planted = rows[rows["kind"] != ""]
    return planted.assign(file=np.array(files)[planted["day"]])
