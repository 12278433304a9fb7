"""Small figures for asset metadata, as Markdown with an inline PNG.

Belongs here: how a figure looks. Does not belong here: computing what it shows, or which asset
shows it.

Every figure is returned as ``![title](data:image/png;base64,...)``. Matplotlib is imported when the
first figure is drawn, to keep start-up fast, and without pyplot, whose global state is not safe
between threads. Values that are null, infinite or not numeric are left blank.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
MAX_MONTH = 24
MAX_COHORTS = 36
MAX_BARS = 30

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK = "#333333"
FAINT = "#D9D9D9"


def reliability_curve(reliability: pd.DataFrame, title: str) -> str:
    """Draw observed share against mean prediction: on the diagonal a model is calibrated.

    Args:
        reliability: one row for each bin: mean_predicted and observed (shares, 0 to 1), n (rows).
        title: shown above the figure.
    """
    bins = reliability[["mean_predicted", "observed", "n"]].apply(as_numbers).dropna()
    fig, ax = blank_figure(5.2, 4.8, title)
    if bins.empty:
        return no_data(fig, ax, title)
    ax.plot([0, 1], [0, 1], color="#888888", lw=1, ls="--", label="calibrated", zorder=1)
    share = bins["observed"]
    error = 1.96 * np.sqrt(share * (1 - share) / bins["n"].clip(lower=1))
    bars = np.array([np.minimum(error, share), np.minimum(error, 1 - share)])
    ax.errorbar(
        bins["mean_predicted"],
        share,
        yerr=bars,
        color=COLOURS[0],
        marker="o",
        ms=5,
        lw=1.5,
        elinewidth=1,
        capsize=2,
        label="observed, 95% interval",
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="Predicted churn", ylabel="Observed churn")
    ax.set_aspect("equal")
    ax.xaxis.set_major_formatter(percent)
    ax.yaxis.set_major_formatter(percent)
    ax.grid(color=FAINT, lw=0.6)
    ax.legend(frameon=False, loc="upper left")
    return as_markdown(fig, title)


def gain_curve(lift: pd.DataFrame, title: str) -> str:
    """Draw the share of all churners among the customers with the highest predictions.

    Args:
        lift: one row for each tenth, the highest predictions first: captured (share of all
            churners in this tenth and those before).
        title: shown above the figure.
    """
    captured = as_numbers(lift["captured"])
    fig, ax = blank_figure(5.2, 4.2, title)
    if not captured.notna().any():
        return no_data(fig, ax, title)
    share = np.arange(len(captured) + 1) / len(captured)
    ax.plot(share, share, color="#888888", lw=1, ls="--", label="at random")
    ax.plot(
        share, [0.0, *captured], color=COLOURS[0], marker="o", ms=4, lw=1.8, label="by the model"
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="Customers contacted", ylabel="Churners among them")
    ax.xaxis.set_major_formatter(percent)
    ax.yaxis.set_major_formatter(percent)
    ax.grid(color=FAINT, lw=0.6)
    ax.legend(frameon=False, loc="upper left")
    return as_markdown(fig, title)


def png(markdown: str) -> bytes:
    """The image of a figure, from its Markdown."""
    return base64.b64decode(markdown.rpartition("base64,")[2].removesuffix(")"))


def cohort_heatmap(cohorts: pd.DataFrame, title: str = "Cohort retention") -> str:
    """Draw the share of each cohort that bought again, by months since the first sale.

    Cells that cannot be observed yet are blank; months that are not over are hatched. Month 0 is
    everybody by definition and is not in the colour scale.

    Args:
        cohorts: one row for each cohort and month: cohort_month (date), month_number (from 0),
            retention_rate (share, 0 to 1, nullable), is_complete (boolean). The newest 36 cohorts
            and months 0 to 24 are shown.
        title: shown above the figure.
    """
    from matplotlib import colormaps

    table = cohorts.assign(
        retention_rate=as_numbers(cohorts["retention_rate"]).to_numpy(),
        cohort_month=pd.to_datetime(cohorts["cohort_month"]),
    )
    months = sorted(table["cohort_month"].unique())
    newest = months[-MAX_COHORTS:]
    rate, complete = (
        table.pivot(index="cohort_month", columns="month_number", values=name)
        .reindex(index=newest, columns=range(MAX_MONTH + 1))
        .to_numpy()
        for name in ("retention_rate", "is_complete")
    )
    blank = int(np.isfinite(rate).any(axis=0)[::-1].argmax())  # months on the right
    rows, columns = len(newest), MAX_MONTH + 1 - blank
    cells = rate[:, :columns]
    partial = np.isfinite(cells) & pd.DataFrame(complete[:, :columns]).isin([False]).to_numpy()
    fig, ax = blank_figure(max(4.5, 1.9 + 0.35 * columns), 1.2 + 0.24 * max(rows, 4), title)
    if not np.isfinite(cells).any():
        return no_data(fig, ax, title)
    later = cells[:, 1:][np.isfinite(cells[:, 1:])]
    top = max(float(np.quantile(later, 0.98)), 0.01) if later.size else 1.0
    colours = colormaps["YlGnBu"].resampled(12)  # steps keep the image small
    coloured = cells.copy()
    coloured[:, 0] = np.nan
    image = ax.imshow(coloured, cmap=colours, vmin=0, vmax=top, aspect="auto")
    for row, column in np.argwhere(np.isfinite(cells)):
        value = cells[row, column]
        colour = "white" if column and value > 0.55 * top else INK
        if column == 0:
            _cell(ax, row, column, facecolor="#EEEEEE")
        if partial[row, column]:
            _cell(ax, row, column, fill=False, hatch="////", edgecolor=colour, alpha=0.3, lw=0)
        ax.text(
            column,
            row,
            f"{value * 100:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color=colour,
            in_layout=False,  # it is within the axes, and measuring it is as slow as drawing it
        )
    ax.set_xticks(range(columns))
    ax.set_yticks(range(rows), [f"{month:%Y-%m}" for month in newest])
    ax.tick_params(length=0, labelsize=8)
    hatched = "   (hatched: month not over)" if partial.any() else ""
    ax.set_xlabel("Months since the first sale" + hatched)
    ax.set_ylabel(f"Cohort (newest {MAX_COHORTS})" if len(months) > MAX_COHORTS else "Cohort")
    extend = "max" if (later > top).any() else "neither"
    bar = fig.colorbar(image, ax=ax, format=percent, pad=0.02, fraction=0.04, extend=extend)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return as_markdown(fig, title)


def move_matrix(
    moves: pd.DataFrame, sources: Sequence[str], targets: Sequence[str], title: str
) -> str:
    """Draw how many moved from each group to each, coloured by the share of the first group.

    Args:
        moves: one row for each pair that someone moved between: from_segment, to_segment,
            customers (count).
        sources: groups to come from, top to bottom; empty ones are left out.
        targets: groups to go to, left to right; empty ones are left out.
        title: shown above the figure.
    """
    from matplotlib import colormaps

    counts = moves.pivot(index="from_segment", columns="to_segment", values="customers")
    rows = [name for name in sources if name in counts.index]
    columns = [name for name in targets if name in counts.columns]
    cells = counts.reindex(index=rows, columns=columns).to_numpy(float, na_value=np.nan)
    fig, ax = blank_figure(2.2 + 0.95 * max(len(columns), 3), 1.5 + 0.38 * max(len(rows), 3), title)
    if not np.isfinite(cells).any():
        return no_data(fig, ax, title)
    share = cells / np.nansum(cells, axis=1, keepdims=True)
    colours = colormaps["YlGnBu"].resampled(12)
    image = ax.imshow(share, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(np.isfinite(cells)):
        ax.text(
            column,
            row,
            f"{short(cells[row, column])}  {share[row, column]:.0%}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.55 else INK,
            fontweight="bold" if rows[row] == columns[column] else "normal",
        )
    ax.set_xticks(range(len(columns)), [plain_text(name) for name in columns])
    ax.set_yticks(range(len(rows)), [plain_text(name) for name in rows])
    ax.tick_params(length=0)
    ax.set(xlabel="To", ylabel="From")
    bar = fig.colorbar(image, ax=ax, format=percent, pad=0.02, fraction=0.04)
    bar.set_label("of those from there", fontsize=8, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return as_markdown(fig, title)


def bar_chart(labels: Sequence[Any], values: Sequence[Any], title: str, unit: str) -> str:
    """Draw horizontal bars with their values, in the given order, at most 30.

    Args:
        labels: name of each bar, shape (n,).
        values: length of each bar, shape (n,), nullable.
        title: shown above the figure.
        unit: unit of the values.
    """
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} values.")
    names = [textwrap.shorten(plain_text(label), 40, placeholder="…") for label in labels][
        :MAX_BARS
    ]
    lengths = as_numbers(values)[:MAX_BARS]
    fig, ax = blank_figure(7.5, 1.1 + 0.3 * max(len(names), 3), title)
    if not lengths.notna().any():
        return no_data(fig, ax, title)
    positions = range(len(names))
    bars = ax.barh(positions, lengths.fillna(0.0), color=COLOURS[0], height=0.7)
    ax.bar_label(
        bars,
        ["no value" if np.isnan(length) else short(length) for length in lengths],
        padding=3,
        fontsize=8,
        color=INK,
    )
    ax.set_yticks(positions, names)
    ax.invert_yaxis()
    ax.margins(x=0.12, y=0.01)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(lambda value, _: short(value))
    more = f"   (first {MAX_BARS} of {len(labels):,})" if len(labels) > MAX_BARS else ""
    ax.set_xlabel(plain_text(unit) + more)
    ax.axvline(0, color=INK, lw=0.8)
    ax.grid(axis="x", color=FAINT, lw=0.6)
    ax.spines["left"].set_visible(False)
    return as_markdown(fig, title)


def line_chart(x: Sequence[Any], series: Mapping[str, Sequence[Any]], title: str, unit: str) -> str:
    """Draw lines over a common x; a null leaves a gap.

    Args:
        x: dates, numbers or names, shape (n,).
        series: name of each line and its values, each of shape (n,), nullable.
        title: shown above the figure.
        unit: unit of the values.
    """
    fig, ax = blank_figure(8.0, 3.6, title)
    lines = {plain_text(name): as_numbers(values) for name, values in series.items()}
    if not any(line.notna().any() for line in lines.values()):
        return no_data(fig, ax, title)
    positions = pd.Series(x)
    if pd.api.types.infer_dtype(positions) in ("date", "datetime"):
        positions = pd.to_datetime(positions)
    for number, (name, line) in enumerate(lines.items()):
        isolated = line.notna() & line.shift().isna() & line.shift(-1).isna()
        ax.plot(
            positions,
            line,
            color=COLOURS[number % len(COLOURS)],
            ls=("-", "--", ":")[number // len(COLOURS) % 3],
            lw=1.8,
            marker="o",
            ms=3.5,
            markevery=isolated.to_list(),  # a value between two gaps would be invisible
            label=name,
        )
    ax.set_ylabel(plain_text(unit))
    ax.yaxis.set_major_formatter(lambda value, _: short(value))
    ax.margins(x=0.02)
    ax.grid(axis="y", color=FAINT, lw=0.6)
    _tidy_x(ax, positions)
    if len(lines) > 1:
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return as_markdown(fig, title)


def blank_figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """An empty figure, width and height in inches."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    ax = fig.add_subplot()
    ax.set_title(
        "\n".join(textwrap.wrap(plain_text(title), int(width * 10))), color=INK, fontsize=11
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors=INK, labelsize=9)
    ax.set_axisbelow(True)
    return fig, ax


def no_data(fig: Figure, ax: Axes, title: str) -> str:
    """A figure that says that there is nothing to show."""
    ax.text(0.5, 0.5, "No data", ha="center", va="center", color="#777777", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return as_markdown(fig, title)


def as_markdown(fig: Figure, title: str) -> str:
    """The figure as Markdown with an inline PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    # With a palette it looks the same and takes a third of the bytes.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()).quantize(96)
    png = io.BytesIO()
    image.save(png, format="PNG", optimize=True)
    alt = " ".join(title.split()).translate(str.maketrans("[]", "()"))
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"


def _cell(ax: Axes, row: int, column: int, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, in_layout=False, **style))


def _tidy_x(ax: Axes, positions: pd.Series) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if pd.api.types.is_datetime64_any_dtype(positions) and len(positions) <= 6:
        ax.set_xticks(positions, [f"{date:%Y-%m-%d}" for date in positions])
    elif pd.api.types.is_datetime64_any_dtype(positions):
        locator = AutoDateLocator(minticks=3, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif positions.dtype == object and len(positions) > 12:
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))


def as_numbers(values: Sequence[Any] | pd.Series) -> pd.Series:
    """Values as float64; values that are no finite number become NaN."""
    numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(float, na_value=np.nan)
    return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan))


def plain_text(text: object) -> str:
    """Text without the dollar signs that Matplotlib would read as formulas."""
    return str(text).replace("$", r"\$")


def percent(value: float, _: object = None) -> str:
    """A share as whole percent."""
    return f"{value:.0%}"


def short(value: float) -> str:
    """A number with k, M or B for its thousands, millions or billions."""
    for from_value, unit, suffix in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= from_value:
            return f"{value / unit:.3g}{suffix}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"
