"""The figures: valid small images, blanks where nothing is known, no global state."""

import base64
import datetime as dt
import io
import re
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from analytics_assets.reports import plots


def png(markdown):
    """The image in the Markdown, decoded completely."""
    match = re.fullmatch(r"!\[([^\[\]\n]+)\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match, markdown[:100]
    data = base64.b64decode(match[2], validate=True)
    assert len(data) < 80_000
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "PNG"
    return image.convert("RGB")


@pytest.fixture
def texts(monkeypatch):
    """What is written into the axes."""
    written = []
    original = Axes.text

    def text(self, x, y, s, *args, **kwargs):
        written.append(s)
        return original(self, x, y, s, *args, **kwargs)

    monkeypatch.setattr(Axes, "text", text)
    return written


@pytest.fixture
def patches(monkeypatch):
    """The cells drawn one by one: (row, column, is hatched)."""
    drawn = []
    original = plots._cell

    def cell(ax, row, column, **style):
        drawn.append((row, column, "hatch" in style))
        return original(ax, row, column, **style)

    monkeypatch.setattr(plots, "_cell", cell)
    return drawn


def make_cohorts(months):
    """A full spine: the cells past the newest month are null and the newest month is partial."""
    return pd.DataFrame(
        {
            "cohort_month": (pd.Timestamp("2021-01-01") + pd.DateOffset(months=i)).date(),
            "month_number": k,
            "retention_rate": (1.0 if k == 0 else 0.4 / k) if i + k < months else None,
            "is_complete": i + k < months - 1,
        }
        for i in range(months)
        for k in range(months)
    )


RELIABILITY = pd.DataFrame(
    {"mean_predicted": [0.1, 0.5, 0.9], "observed": [0.0, 0.6, 1.0], "n": [40, 40, 1]}
)


def test_a_reliability_curve_is_drawn():
    image = png(plots.reliability_curve(RELIABILITY, "Reliability"))
    assert image.width > 400
    assert image.height > 400


def test_a_gain_curve_is_drawn_and_shows_what_it_is_given():
    random = pd.DataFrame({"captured": [0.1 * n for n in range(1, 11)]})
    good = pd.DataFrame({"captured": [0.4, 0.7, 0.9, *[1.0] * 7]})
    assert png(plots.gain_curve(good, "G")).width > 400
    assert plots.gain_curve(good, "G") != plots.gain_curve(random, "G")


def test_the_image_of_a_figure_can_be_taken_out():
    markdown = plots.gain_curve(pd.DataFrame({"captured": [0.5, 1.0]}), "G [1]")
    assert Image.open(io.BytesIO(plots.png(markdown))).size == png(markdown).size


def test_bins_without_a_value_are_left_out_of_the_curve():
    with_null = pd.concat(
        [RELIABILITY, pd.DataFrame({"mean_predicted": [0.3], "observed": [np.nan], "n": [0]})]
    )
    assert plots.reliability_curve(with_null, "R") == plots.reliability_curve(RELIABILITY, "R")


def test_a_large_heatmap_stays_small_and_shows_the_newest_cohorts(texts):
    png(plots.cohort_heatmap(make_cohorts(60)))
    rows = texts.count("100")
    assert rows == plots.MAX_COHORTS


def test_months_that_cannot_be_observed_are_blank(texts):
    png(plots.cohort_heatmap(make_cohorts(5)))
    assert len(texts) == 5 + 4 + 3 + 2 + 1
    assert "nan" not in texts


def test_a_true_zero_is_shown_and_is_not_a_blank(texts):
    cohorts = make_cohorts(3)
    cohorts.loc[cohorts["month_number"] == 1, "retention_rate"] = [0.0, 0.0, np.nan]
    png(plots.cohort_heatmap(cohorts))
    assert texts.count("0") == 2


def test_only_partial_months_are_hatched(patches):
    png(plots.cohort_heatmap(make_cohorts(4)))
    assert {(row, column) for row, column, hatched in patches if hatched} == {
        (0, 3),
        (1, 2),
        (2, 1),
        (3, 0),
    }


def test_the_order_and_index_of_cohort_rows_do_not_matter():
    cohorts = make_cohorts(6)
    shuffled = cohorts.sample(frac=1, random_state=1)
    assert plots.cohort_heatmap(shuffled) == plots.cohort_heatmap(cohorts)


def test_months_past_the_last_column_are_left_out(texts):
    png(plots.cohort_heatmap(make_cohorts(30)))
    assert len(texts) == sum(min(30 - i, plots.MAX_MONTH + 1) for i in range(30))


def test_database_types_are_understood(texts):
    cohorts = make_cohorts(3).astype({"is_complete": "boolean"})
    cohorts["retention_rate"] = [
        None if pd.isna(rate) else Decimal(str(rate)) for rate in cohorts["retention_rate"]
    ]
    png(plots.cohort_heatmap(cohorts))
    assert len(texts) == 6


def test_bars_without_a_value_say_so(monkeypatch):
    labels = []
    original = Axes.bar_label

    def bar_label(self, container, texts, **kwargs):
        labels.extend(texts)
        return original(self, container, texts, **kwargs)

    monkeypatch.setattr(Axes, "bar_label", bar_label)
    values = [1_234_567, 0, None, np.inf, pd.NA, Decimal("-2.5"), "x"]
    png(plots.bar_chart(list("abcdefg"), values, "Bars", "EUR"))
    assert labels == ["1.23M", "0", "no value", "no value", "no value", "-2.5", "no value"]


def test_a_bar_for_each_label():
    with pytest.raises(ValueError, match="2 labels for 1 values"):
        plots.bar_chart(["a", "b"], [1], "Bars", "rows")


def test_many_bars_stay_readable():
    many = png(plots.bar_chart(range(500), range(500), "Bars", "rows"))
    thirty = png(plots.bar_chart(range(30), range(30), "Bars", "rows"))
    assert many.height == thirty.height


@pytest.mark.parametrize(
    "x",
    [
        [dt.date(2024, 1, day) for day in range(1, 11)],
        pd.date_range("2024-01-01", periods=10, tz="UTC"),
        range(10),
        [f"2024-{month:02d}" for month in range(1, 11)],
    ],
    ids=["dates", "timestamps", "numbers", "names"],
)
def test_lines_over_every_kind_of_x(x):
    y = [1, None, 3, np.nan, 5, pd.NA, 7, 8, 9, Decimal("9.5")]
    png(plots.line_chart(x, {"a": y, "b": range(10)}, "Lines", "rows"))


def test_a_gap_is_no_straight_line():
    x = range(5)
    gap = plots.line_chart(x, {"a": [1, 2, None, 4, 5]}, "L", "rows")
    assert gap != plots.line_chart(x, {"a": [1, 2, 3, 4, 5]}, "L", "rows")


def test_a_value_between_two_gaps_is_visible():
    def blue(markdown):
        pixels = np.asarray(png(markdown)).astype(int)
        return (abs(pixels - [0, 0x72, 0xB2]).sum(axis=2) < 60).sum()

    assert blue(plots.line_chart(range(3), {"a": [None, 2, None]}, "L", "rows")) > 10


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.reliability_curve(RELIABILITY.iloc[:0], "R"),
        lambda: plots.gain_curve(pd.DataFrame({"captured": [None, None]}), "G"),
        lambda: plots.cohort_heatmap(make_cohorts(3).iloc[:0]),
        lambda: plots.cohort_heatmap(make_cohorts(3).assign(retention_rate=None)),
        lambda: plots.bar_chart([], [], "B", "rows"),
        lambda: plots.bar_chart(["a"], [None], "B", "rows"),
        lambda: plots.line_chart([], {}, "L", "rows"),
        lambda: plots.line_chart([1], {"a": [np.nan]}, "L", "rows"),
    ],
)
def test_without_data_the_figure_says_so(draw, texts):
    png(draw())
    assert texts == ["No data"]


def test_titles_with_brackets_line_breaks_and_dollars_are_harmless():
    markdown = plots.bar_chart(["$a$", "b_{"], [1, 2], "Sales [US$] of\n$x_{", "$x_{$")
    png(markdown)
    assert markdown.startswith("![Sales (US$) of $x_{](data:")


def test_the_same_data_give_the_same_bytes():
    draw = lambda: plots.line_chart([1, 2], {"a": [1, 2]}, "L", "rows")  # noqa: E731
    assert draw() == draw()


def test_matplotlib_is_not_imported_at_start_up_nor_pyplot_ever():
    code = (
        "import sys\n"
        "from analytics_assets.reports import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.bar_chart(['a'], [1], 'B', 'rows')\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_moves_are_counted_and_coloured_by_share(texts):
    moves = pd.DataFrame(
        [("Loyal", "Loyal", 75), ("Loyal", "Lost", 25), ("New", "Loyal", 12_000)],
        columns=["from_segment", "to_segment", "customers"],
    )
    names = ("Lost", "Loyal", "New", "Nobody")
    image = png(plots.move_matrix(moves, names, names, "Moves $"))
    assert texts == ["25  25%", "75  75%", "12k  100%"]
    assert image.size[0] > image.size[1]
    texts.clear()
    png(plots.move_matrix(moves[:0], names, names, "Moves"))
    assert texts == ["No data"]
