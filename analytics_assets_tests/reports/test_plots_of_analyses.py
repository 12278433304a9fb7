"""Bridges, and rates with intervals: what the figures say and where the bars are."""

from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.axes import Axes

from analytics_assets.reports import plots, repeat_plots, sales_plots


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, float, str]]]:
    """Bottom, height and colour of each bar that is drawn."""
    drawn: list[tuple[float, float, str]] = []
    bar = Axes.bar

    def kept(axes: Axes, x: Any, height: Any, **style: Any) -> Any:
        drawn.append((style["bottom"], height, style["color"]))
        return bar(axes, x, height, **style)

    monkeypatch.setattr(Axes, "bar", kept)
    yield drawn


def test_the_effects_of_a_bridge_lead_from_the_opening_to_the_closing(
    bars: list[tuple[float, float, str]],
) -> None:
    names = ["before", "price", "order value", "2024-02"]
    chart = sales_plots.bridge(names, [100.0, 30.0, -50.0, 80.0], "A bridge", "currency")
    assert plots.png(chart).startswith(b"\x89PNG")
    ups, downs = sales_plots.UP, sales_plots.DOWN
    assert bars == [
        (0.0, 100.0, plots.INK),
        (100.0, 30.0, ups),
        (130.0, -50.0, downs),
        (0.0, 80.0, plots.INK),
    ]


def test_a_bridge_from_nothing_to_nothing_is_drawn() -> None:
    assert plots.png(sales_plots.bridge(["a", "b"], [0.0, 0.0], "None", "currency"))


def test_rates_are_drawn_with_their_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    errorbar = Axes.errorbar

    def kept(axes: Axes, x: Any, y: Any, **style: Any) -> Any:
        drawn.append((list(x), style["xerr"].round(3).tolist()))
        return errorbar(axes, x, y, **style)

    monkeypatch.setattr(Axes, "errorbar", kept)
    chart = repeat_plots.rates(
        ["$1 pen", "cup"], [0.5, 1.0], [0.3, 0.8], [0.7, 1.0], 0.45, "Products", "came back"
    )
    assert plots.png(chart).startswith(b"\x89PNG")
    assert drawn == [([0.5, 1.0], [[0.2, 0.2], [0.2, 0.0]])]
