"""Plots of the marts on repeat purchase.

Belongs here: which plot shows which of these marts, and rates with intervals, which only they draw.
Does not belong here: figures that other marts draw, too (`plots`).
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from dagster import MetadataValue

from analytics_assets.reports import plots
from analytics_assets.reports.plots import (
    COLOURS,
    FAINT,
    INK,
    as_markdown,
    blank_figure,
    percent,
    plain_text,
)
from analytics_assets.schemas.repeat import REPEAT_DAYS
from analytics_assets.warehouse.session import Session

MOST_ORDERS, MOST_PRODUCTS = 15, 15
FEWEST = 20  # customers behind a point that is drawn; the table has all


def rates(
    names: Sequence[str],
    shares: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    reference: float,
    title: str,
    unit: str,
) -> str:
    """Draw shares as points with their intervals, one below the other, and a share of all.

    Args:
        names: name of each point, shape (n,).
        shares: shares, 0 to 1, shape (n,).
        low: lower ends of the intervals, shape (n,).
        high: upper ends, shape (n,).
        reference: share of all, a dashed line.
        title: shown above the figure.
        unit: what the shares are of.
    """
    fig, ax = blank_figure(7.5, 1.5 + 0.28 * max(len(names), 3), title)
    position = np.arange(len(names))
    share = np.array(shares, dtype=float)
    ends = np.array([share - np.array(low, float), np.array(high, float) - share]).clip(min=0)
    ax.errorbar(
        *(share, position),
        xerr=ends,
        fmt="o",
        color=COLOURS[0],
        ms=5,
        elinewidth=1.2,
        capsize=2,
        label="rate, 95% interval",
    )
    ax.axvline(reference, color=COLOURS[1], lw=1.2, ls="--", label="all customers")
    ax.set_yticks(
        position, [textwrap.shorten(plain_text(name), 40, placeholder="…") for name in names]
    )
    ax.invert_yaxis()
    ax.set_xlabel(unit)
    ax.xaxis.set_major_formatter(percent)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=FAINT, lw=0.6)
    ax.legend(
        frameon=False, fontsize=8, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    return as_markdown(fig, title)


def _repeats(session: Session) -> dict[str, Any]:
    frame = session.frame(
        "SELECT * FROM marts.repeat_purchases "
        f"WHERE order_number <= {MOST_ORDERS} AND customers >= {FEWEST} ORDER BY order_number"
    )
    if frame.empty:
        return {}
    shown = {
        f"within {days} days": (100 * frame[f"repeat_rate_{days}d"])
        .where(frame[f"observed_{days}d"] >= FEWEST)
        .tolist()
        for days in REPEAT_DAYS
    }
    numbers = frame["order_number"].tolist()
    charts = {
        "repeat rate": plots.line_chart(
            numbers,
            {name: rate for name, rate in shown.items() if np.isfinite(rate).any()},
            f"Who orders again after the n-th order, of at least {FEWEST} observed that long",
            "% of customers",
        ),
        "days to the next order": plots.line_chart(
            numbers,
            {
                "three quarters": frame["days_to_next_p75"].tolist(),
                "half": frame["days_to_next_median"].tolist(),
                "a quarter": frame["days_to_next_p25"].tolist(),
            },
            "Days from the n-th order to the next, of who has ordered again so far",
            "days within which they ordered",
        ),
    }
    return {name: MetadataValue.md(chart) for name, chart in charts.items()}


def _comebacks(session: Session) -> dict[str, Any]:
    rows = session.records(
        "SELECT coalesce(product_name, product_id) AS name, repeat_rate_90d, repeat_rate_90d_low, "
        "repeat_rate_90d_high, all_repeat_rate_90d FROM marts.comeback_products "
        f"WHERE observed_90d >= {FEWEST} "
        f"ORDER BY repeat_rate_90d_low DESC, product_id LIMIT {MOST_PRODUCTS}"
    )
    if not rows:
        return {}
    chart = rates(
        [row["name"] for row in rows],
        [row["repeat_rate_90d"] for row in rows],
        [row["repeat_rate_90d_low"] for row in rows],
        [row["repeat_rate_90d_high"] for row in rows],
        rows[0]["all_repeat_rate_90d"],
        "First products after which most customers come back",
        f"came back within 90 days, of at least {FEWEST} customers observed that long",
    )
    return {"products that bring people back": MetadataValue.md(chart)}


PLOTS: dict[str, Callable[[Session], dict[str, Any]]] = {
    "repeat_purchases": _repeats,
    "comeback_products": _comebacks,
}
