"""Stacked bars by month, for what is won and lost.

Belongs here: figures of several parts that add up. Does not belong here: other figures (`plots`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from analytics_assets.reports.plots import (
    COLOURS,
    FAINT,
    INK,
    as_markdown,
    as_numbers,
    blank_figure,
    no_data,
    plain_text,
    short,
)

MAX_MONTHS = 36


def stacked_months(
    months: Sequence[date],
    series: Mapping[str, Sequence[Any]],
    complete: Sequence[bool],
    title: str,
    unit: str,
) -> str:
    """Draw parts of each month on top of each other, negative ones below the axis.

    Args:
        months: first days of the months, shape (n,); the newest 36 are shown.
        series: name of each part and its values, each of shape (n,), nullable.
        complete: whether each month is over; the others are hatched.
        title: shown above the figure.
        unit: unit of the values.
    """
    from matplotlib.patches import Patch

    newest, over = list(months)[-MAX_MONTHS:], list(complete)[-MAX_MONTHS:]
    parts = {plain_text(name): as_numbers(values)[-MAX_MONTHS:] for name, values in series.items()}
    fig, ax = blank_figure(8.0, 3.6, title)
    if not any(part.notna().any() for part in parts.values()):
        return no_data(fig, ax, title)
    hatched: dict[str, Any] = {"hatch": "////", "edgecolor": "white", "lw": 0}
    above, below = [0.0] * len(newest), [0.0] * len(newest)
    for number, part in enumerate(parts.values()):
        for x, value in enumerate(part.fillna(0.0)):
            side = above if value >= 0 else below
            ax.bar(
                *(x, value),
                bottom=side[x],
                color=COLOURS[number % len(COLOURS)],
                width=0.8,
                **({} if over[x] else hatched),
            )
            side[x] += value
    step = -(-len(newest) // 12)
    shown = range(0, len(newest), step)
    ax.set_xticks(shown, [f"{newest[x]:%Y-%m}" for x in shown], rotation=45, ha="right")
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_ylabel(plain_text(unit))
    ax.yaxis.set_major_formatter(lambda value, _: short(value))
    ax.margins(x=0.02)
    ax.grid(axis="y", color=FAINT, lw=0.6)
    handles = [
        Patch(facecolor=COLOURS[number % len(COLOURS)], label=name)
        for number, name in enumerate(parts)
    ]
    if not all(over):
        handles.append(Patch(facecolor="#999999", label="not whole", **hatched))
    ax.legend(
        handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    return as_markdown(fig, title)
