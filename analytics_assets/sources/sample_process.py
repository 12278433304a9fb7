"""The process behind the generated sample: who buys what and when, as numbers, without dirt.

Belongs here: random draws for products, customers, orders and sessions.
Does not belong here: names and other text, files, planted dirt.

Orders follow BG/NBD (Fader, Hardie, Lee 2005, "Counting Your Customers the Easy Way", Marketing
Science 24(2)): a customer's repeat orders are Poisson with rate lambda ~ Gamma(r, alpha) a week
after the first order, and after each repeat order the customer drops out with probability
p ~ Beta(a, b). As in the paper, nobody drops out after the first order alone.

Season (time of year, weekday, hour) is a time warp: the process runs on an operational clock that
goes faster in busy hours, with mean speed 1, and its times are then read off the calendar. Thinning
would bias p; the warp leaves r, alpha, a and b exact on the operational clock. On the calendar a
time moves by at most `max_time_shift_days` (manifest). Maximum likelihood on the sales of the
default sample, read off the calendar, gives r and alpha within 3%, a and b about 20% low, and
a / (a + b) within 3%; with `seasonality=0`, where times move by seconds, all within 10%.

The parameters are those of orders that were not cancelled: cancelled orders are additional. Spend
differs between customers and between orders as in Gamma-Gamma, but goes through list prices, so a
fit does not give its parameters back. Sessions fade only slowly after drop-out: a signal of churn,
not the answer.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

DAY = 86_400  # seconds
PRODUCTS = 320
# r, alpha: shape and rate (weeks) of the order rate; a, b: Beta of drop-out; days_...: means of
# exponentials; order_shape, customer_shape: Gamma-Gamma; the rest are probabilities.
PROCESS: dict[str, float] = {
    "r": 0.9,
    "alpha": 6.0,
    "a": 0.8,
    "b": 5.0,
    "never_orders": 0.07,
    "days_to_first_order": 3.0,
    "slow_starters": 0.2,
    "slow_days_to_first_order": 30.0,
    "order_shape": 6.0,
    "customer_shape": 4.0,
    "cancelled": 0.03,
    "returned": 0.03,
    "late": 0.03,
    "late_when_cancelled": 0.4,
}


def clocks(epoch: int, days: int, seasonality: float) -> tuple[Floats, Floats]:
    """Operational and calendar clock at every full hour of the span.

    Two (24 * days + 1,) arrays of seconds since the span's start, which is `epoch` seconds after
    1970; both start and end together. The busy times are December, Fridays and the evening.
    """
    hours = np.arange(24 * days)
    day = epoch // DAY + hours // 24
    weekday = np.array([0.05, 0.0, 0.0, 0.0, 0.1, -0.05, -0.1])[(day + 3) % 7]  # Monday first
    speed = 1 + 0.25 * seasonality * np.cos(2 * np.pi * (day - 340) / 365.25)
    speed *= 1 + seasonality * weekday
    speed *= 1 + 0.85 * seasonality * np.cos(2 * np.pi * (hours % 24 - 18) / 24)
    operational: Floats = np.append(0.0, np.cumsum(speed / speed.mean())) * 3600
    calendar: Floats = np.arange(24 * days + 1) * 3600.0
    return operational, calendar


def _nth(sizes: Ints) -> Ints:
    """1, 2, ... within each of consecutive blocks of the given sizes: (sum of sizes,)."""
    return 1 + np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _growing(n: int, span: float, rng: np.random.Generator) -> Floats:
    """(n,) times in [0, span) whose density doubles from start to end."""
    return span * (np.sqrt(1 + 3 * rng.random(n)) - 1)


def purchases(n: int, span: float, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """BG/NBD on the operational clock, over `span` weeks.

    Returns the n customers (registered, dropped: weeks, inf while alive; rate: orders a week) and
    the orders that were not cancelled (customer, week).
    """
    registered = _growing(n, span, rng)
    slow = rng.random(n) < PROCESS["slow_starters"]
    wait = np.where(slow, PROCESS["slow_days_to_first_order"], PROCESS["days_to_first_order"])
    first = registered + rng.exponential(wait / 7)
    never = rng.random(n) < PROCESS["never_orders"]
    first[never] = np.inf
    rate = rng.gamma(PROCESS["r"], 1 / PROCESS["alpha"], n)
    chance = rng.beta(PROCESS["a"], PROCESS["b"], n)

    # A Poisson process on [first, span): its number of points, then uniform times in order.
    left = np.maximum(span - first, 0)
    points = rng.poisson(rate * left)
    owner = np.repeat(np.arange(n), points)
    week = first[owner] + rng.random(len(owner)) * left[owner]
    week = week[np.lexsort((week, owner))]
    last = rng.geometric(np.maximum(chance, 1e-9))[owner]  # the repeat order that is the last one
    number = _nth(points)
    dropped = np.where(never, registered, np.inf)
    dropped[owner[number == last]] = week[number == last]

    buyers = np.flatnonzero(first < span)
    people = pd.DataFrame({"registered": registered, "dropped": dropped, "rate": rate})
    orders = pd.DataFrame(
        {
            "customer": np.append(buyers, owner[number <= last]),
            "week": np.append(first[buyers], week[number <= last]),
        }
    )
    return people, orders


def order_lines(
    orders: pd.DataFrame, price: Ints, customers: int, days: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Order lines with cancelled orders, returns and late status changes, sorted by `updated`.

    Args:
        orders: customer, ordered (seconds since the span's start, as every time here).
        price: (PRODUCTS,) list prices in cents, ascending.
        customers: how many there are.
        days: length of the span.
        rng: source of randomness.

    Returns:
        order (whole number in order of time), line_number, ordered, customer, product, quantity,
        price (cents), status, updated, day (of the file, that of `updated`), and `late`, which
        marks both rows of a late status change.
    """
    end = days * DAY
    orders = orders[["customer", "ordered"]].assign(status="completed")
    extra = orders[rng.random(len(orders)) < PROCESS["cancelled"]].assign(status="cancelled")
    extra["ordered"] += rng.exponential(DAY, len(extra)).astype(np.int64)
    orders = pd.concat([orders, extra], ignore_index=True)
    orders = orders[orders["ordered"] < end]
    late = np.where(
        orders["status"] == "cancelled", PROCESS["late_when_cancelled"], PROCESS["late"]
    )
    orders["late"] = rng.random(len(orders)) < late

    # Gamma-Gamma: an order's level scatters around its customer's, which has mean 1.
    shape = PROCESS["customer_shape"]
    level = ((shape - 1) / rng.gamma(shape, size=customers))[orders["customer"]]
    shape = PROCESS["order_shape"]
    orders["level"] = level * rng.gamma(shape, 1 / shape, len(orders))

    size = 1 + np.minimum(rng.poisson(1.15, len(orders)), 5)
    order = np.repeat(np.arange(len(orders)), size)
    lines = orders.iloc[order].reset_index(drop=True).assign(order=order, line_number=_nth(size))
    # Long-tailed popularity among the products within a factor of two of the price in mind.
    wanted = np.median(price) * lines.pop("level").to_numpy() * rng.lognormal(0, 0.8, len(lines))
    popularity = np.append(0, np.cumsum(rng.permutation(np.arange(1.0, PRODUCTS + 1) ** -0.8)))
    low = np.searchsorted(price, np.minimum(wanted / 2, price[-8]))
    high = np.maximum(np.searchsorted(price, wanted * 2), low + 8)
    spot = rng.uniform(popularity[low], popularity[high])
    product = np.minimum(np.searchsorted(popularity, spot, side="right") - 1, PRODUCTS - 1)
    discount = rng.choice([0, 10, 20], len(lines), p=[0.8, 0.13, 0.07])
    lines["product"] = product
    lines["price"] = np.maximum(price[product] * (100 - discount) // 100, 1)
    lines["quantity"] = 1 + np.minimum(rng.poisson(0.35, len(lines)), 9)

    # A return is an order of its own, after any late status change of the order it undoes.
    sold = (lines["status"] == "completed").to_numpy()
    returns = lines[sold & (rng.random(len(lines)) < PROCESS["returned"])].copy()
    returns["ordered"] += rng.integers(8 * DAY, 40 * DAY, len(returns))
    returns["quantity"] = -rng.integers(1, returns["quantity"], endpoint=True)
    returns["order"] = len(orders) + np.arange(len(returns))
    returns = returns.assign(status="returned", late=False, line_number=1)
    lines = pd.concat([lines, returns[returns["ordered"] < end]])
    lines = lines.sort_values(["ordered", "order", "line_number"], ignore_index=True)
    lines["order"] = np.cumsum(lines["line_number"] == 1) - 1

    # Two seconds stay free before midnight, for newer content within the day's file.
    of_order = lines["order"].to_numpy()
    midnight = (lines["ordered"] // DAY * DAY).to_numpy()
    delay = rng.integers(60, 7200, len(lines))[of_order]
    latest = np.maximum(lines["ordered"], midnight + DAY - 3)
    lines["updated"] = np.minimum(lines["ordered"] + delay, latest)
    lag = rng.integers(1, 7, len(lines), endpoint=True) * DAY
    change = midnight + (lag + rng.integers(0, DAY, len(lines)))[of_order]
    changed = lines.assign(updated=change)[lines["late"] & (change < end)]
    lines["status"] = lines["status"].mask(lines["late"], "pending")
    both: pd.DataFrame = pd.concat([lines, changed])
    both["day"] = both["updated"] // DAY
    return both.sort_values(["updated", "order", "line_number"], ignore_index=True)


def sessions(
    people: pd.DataFrame,
    orders: pd.DataFrame,
    span: float,
    to_calendar: Callable[[Floats], Ints],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Sessions sorted by start: customer (-1 anonymous), started, ended (seconds), page_views.

    Visits are Poisson, more often by frequent buyers, and fade after drop-out at each customer's
    own pace, of weeks to months. Most orders have a session around them as well. `to_calendar`
    turns operational weeks into seconds since the span's start; `span` is in weeks.
    """
    n = len(people)
    begin = people["registered"].to_numpy()
    stop = np.minimum(people["dropped"].to_numpy(), span)
    rate = (0.08 + 1.1 * people["rate"].to_numpy()) * rng.lognormal(0, 0.6, n)
    alive = np.repeat(np.arange(n), rng.poisson(rate * (stop - begin)))
    pace = rng.lognormal(np.log(5), 0.8, n)  # weeks
    faded = 1 - np.exp((stop - span) / pace)
    after = np.repeat(np.arange(n), rng.poisson(rate * pace * faded))
    visits = [
        begin[alive] + rng.random(len(alive)) * (stop - begin)[alive],
        stop[after] - pace[after] * np.log1p(-rng.random(len(after)) * faded[after]),
    ]
    visitors = np.concatenate([alive, after])
    anonymous = _growing(rng.poisson(0.35 * len(visitors)), span, rng)
    visits.append(anonymous)

    bought = orders[rng.random(len(orders)) < 0.85]
    before = rng.integers(120, 2400, len(bought))
    started = np.concatenate([to_calendar(np.concatenate(visits)), bought["ordered"] - before])
    customer = np.concatenate([visitors, np.full(len(anonymous), -1), bought["customer"]])
    pages = rng.geometric(0.3, len(started))
    seconds = (pages * rng.lognormal(3.5, 0.7, len(started))).astype(np.int64)
    pages[len(pages) - len(bought) :] += 3  # no order without a basket, an address and a payment
    seconds[len(pages) - len(bought) :] = before + rng.integers(5, 300, len(bought))
    table = pd.DataFrame(
        {
            "customer": customer,
            "started": started,
            "ended": started + seconds,
            "page_views": pages,
        }
    )
    table = table[table["started"] >= 0]
    return table.sort_values("started", kind="stable", ignore_index=True)
