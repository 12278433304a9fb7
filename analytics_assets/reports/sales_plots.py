"""Plots of the marts that explain sales.

Belongs here: which plot shows which of these marts, and the bridge, which only they draw. Does not
belong here: figures that other marts draw, too (`plots`).
"""

from collections.abc import Callable, Sequence
from typing import Any

from dagster import MetadataValue

from analytics_assets.reports import plots
from analytics_assets.reports.plots import COLOURS, FAINT, INK, as_markdown, blank_figure, short
from analytics_assets.schemas.explained import MEMBER_TYPES, SALES_DIMENSIONS, TOP_PERCENTS
from analytics_assets.warehouse.session import Session

MOST_VALUES = 6  # of a dimension, by gross amount; the others are one line
UP, DOWN = COLOURS[0], COLOURS[1]


def bridge(names: Sequence[str], amounts: Sequence[float], title: str, unit: str) -> str:
    """Draw a bridge: the first bar is the opening, the last the closing, the others lead there.

    Args:
        names: name of each bar, shape (n,).
        amounts: opening, effects and closing, shape (n,).
        title: shown above the figure.
        unit: unit of the amounts.
    """
    fig, ax = blank_figure(8.0, 3.9, title)
    level, levels = 0.0, [0.0]
    for position, amount in enumerate(amounts):
        total = position in (0, len(amounts) - 1)
        bottom = 0.0 if total else level
        colour = INK if total else UP if amount >= 0 else DOWN
        ax.bar(position, amount, bottom=bottom, color=colour, width=0.7)
        level = bottom + amount
        levels.append(level)
        sign = "+" if amount > 0 and not total else ""
        # Of what is thousands, cents are not shown.
        text = sign + short(round(amount) if abs(amount) >= 1000 else amount)
        ax.annotate(
            text,
            (position, max(bottom, level)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=INK,
        )
        if position < len(amounts) - 1:
            ax.plot([position + 0.35, position + 0.65], [level, level], color="#888888", lw=0.8)
    ax.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(unit)
    ax.yaxis.set_major_formatter(lambda value, _: short(value))
    ax.axhline(0, color=INK, lw=0.8)
    ax.grid(axis="y", color=FAINT, lw=0.6)
    room = 0.1 * (max(levels) - min(levels)) or 1.0
    ax.set_ylim(min(levels) - (room if min(levels) < 0 else 0), max(levels) + room)
    return as_markdown(fig, title)


def _dimensions(session: Session) -> dict[str, Any]:
    """Net amount by month of the largest values of each dimension that has more than one."""
    shown = {}
    for dimension in SALES_DIMENSIONS:
        frame = session.frame(
            "SELECT date_trunc('month', order_date) AS month, dimension_value, "
            "sum(net_amount)::DOUBLE AS net, sum(gross_amount)::DOUBLE AS gross "
            f"FROM marts.sales_by_dimension WHERE dimension = '{dimension}' "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        sizes = frame.groupby("dimension_value")["gross"].sum()
        if len(sizes) < 2:
            continue
        ranked = sizes.reset_index().sort_values(
            ["gross", "dimension_value"], ascending=[False, True]
        )
        top = list(ranked["dimension_value"][:MOST_VALUES])
        named = frame["dimension_value"].where(frame["dimension_value"].isin(top), "others")
        table = frame.assign(name=named).pivot_table(
            index="month", columns="name", values="net", aggfunc="sum", fill_value=0.0
        )
        series = {name: table[name].tolist() for name in (*top, "others") if name in table}
        title = f"Net sales by {dimension} and month"
        shown[f"sales by {dimension}"] = MetadataValue.md(
            plots.line_chart(table.index.tolist(), series, title, "currency")
        )
    return shown


def _bridge(session: Session) -> dict[str, Any]:
    """The bridge to the newest month that is whole, else to the newest, by product and customer."""
    shown = {}
    for member in MEMBER_TYPES:
        rows = session.records(
            f"SELECT * FROM marts.sales_bridge WHERE member_type = '{member}' "
            "ORDER BY is_complete DESC, month DESC LIMIT 1"
        )
        for row in rows:
            effects = {
                name.removesuffix("_effect").replace("_", " "): float(amount)
                for name, amount in row.items()
                if name.endswith("_effect") and amount is not None
            }
            names = ["before", *effects, f"{row['month']:%Y-%m}"]
            amounts = [
                float(row["opening_net_amount"]),
                *effects.values(),
                float(row["closing_net_amount"]),
            ]
            partial = "" if row["is_complete"] else ", a month that is not whole"
            title = f"Net sales of {row['month']:%Y-%m} and the month before, by {member}{partial}"
            shown[f"bridge by {member}"] = MetadataValue.md(
                bridge(names, amounts, title, "currency")
            )
    return shown


def _concentration(session: Session) -> dict[str, Any]:
    shown = {}
    for member in MEMBER_TYPES:
        frame = session.frame(
            "SELECT month, top_percent, net_share FROM marts.sales_concentration "
            f"WHERE member_type = '{member}' AND is_complete ORDER BY 1, 2"
        )
        if frame.empty:
            continue
        table = frame.pivot_table(
            index="month", columns="top_percent", values="net_share", dropna=False
        )
        series = {f"top {top}%": (100 * table[top]).tolist() for top in reversed(TOP_PERCENTS)}
        title = f"Share of the top {member}s in net sales, by month"
        shown[f"top {member}s"] = MetadataValue.md(
            plots.line_chart(table.index.tolist(), series, title, "% of net sales")
        )
    return shown


PLOTS: dict[str, Callable[[Session], dict[str, Any]]] = {
    "sales_by_dimension": _dimensions,
    "sales_bridge": _bridge,
    "sales_concentration": _concentration,
}
