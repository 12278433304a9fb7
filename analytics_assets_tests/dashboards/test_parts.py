"""What pages are made of: days of a filter, labels, CSV, colours, and the closed server."""

import itertools
import socket
from datetime import date
from decimal import Decimal

import pytest
from click.testing import CliRunner
from streamlit import net_util
from streamlit.testing.v1 import AppTest
from streamlit.web.server.server_util import is_url_from_allowed_origins

from analytics_assets.cli import main
from analytics_assets.compat.streamlit import never_ask_for_the_own_address
from analytics_assets.dashboards.filters import days_of
from analytics_assets.dashboards.labels import Column, declared, label_of, written
from analytics_assets.dashboards.parts import csv_of
from analytics_assets.dashboards.theme import theme_options


@pytest.mark.parametrize(
    ("period", "newest", "since", "before"),
    [
        ("30 days", date(2024, 3, 31), date(2024, 3, 2), (date(2024, 2, 1), date(2024, 3, 1))),
        ("90 days", date(2024, 3, 31), date(2024, 1, 2), None),
        ("12 months", date(2025, 2, 10), date(2024, 3, 1), None),
        ("12 months", date(2026, 2, 10), date(2025, 3, 1), (date(2024, 3, 1), date(2025, 2, 10))),
        ("12 months", date(2024, 2, 29), date(2024, 1, 1), None),
        ("all", date(2026, 2, 10), date(2024, 1, 1), None),
    ],
)
def test_a_period_is_compared_with_the_same_time_before_where_there_are_days(
    period: str, newest: date, since: date, before: tuple[date, date] | None
) -> None:
    assert days_of(period, date(2024, 1, 1), newest) == (since, before)


def test_labels_are_words_and_say_the_unit() -> None:
    assert label_of("net_amount_90d") == "Net amount 90 days"
    assert label_of("roc_auc") == "ROC AUC"
    (column,) = declared("churn_predictions", "churn_probability")
    assert (column.label, column.kind) == ("Churn probability", "share")
    assert column.meaning.endswith("Unit: probability, 0 to 1")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (Decimal("1234567.89"), "money", "1,234,568"),
        (0.12345, "share", "12.3%"),
        (date(2024, 3, 1), "month", "March 2024"),
        (None, "money", "–"),  # noqa: RUF001
    ],
)
def test_values_are_written_for_people(value: object, kind: str, text: str) -> None:
    assert written(value, kind) == text  # type: ignore[arg-type]


def test_csv_has_all_digits_and_no_formulas() -> None:
    columns = [Column("a", "A", "text"), Column("b", "B", "money")]
    rows = [{"a": "=1+1", "b": Decimal("1.2345")}, {"a": "Zürich", "b": None}]
    assert csv_of(rows, columns).decode() == "a,b\r\n'=1+1,1.2345\r\nZürich,\r\n"


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("base", ["light", "dark"])
def test_colours_can_be_read(base: str) -> None:
    theme = {
        name.removeprefix(f"theme.{base}."): value
        for name, value in theme_options().items()
        if name.startswith(f"theme.{base}.")
    }
    grounds = (theme["backgroundColor"], theme["secondaryBackgroundColor"])
    for ground in grounds:
        assert contrast(theme["textColor"], ground) >= 7
        assert contrast(theme["primaryColor"], ground) >= 4.5
    assert contrast(theme["blueTextColor"], theme["blueBackgroundColor"]) >= 7
    assert min(contrast(c, grounds[0]) for c in theme["chartCategoricalColors"]) >= 3
    steps = [luminance(c) for c in theme["chartSequentialColors"]]
    assert len({a < b for a, b in itertools.pairwise(steps)}) == 1


def test_no_foreign_page_makes_the_server_ask_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)
    monkeypatch.setattr(net_util, "get_internal_ip", net_util.get_internal_ip)
    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    with pytest.raises(AssertionError):
        is_url_from_allowed_origins("http://elsewhere.example")
    never_ask_for_the_own_address()
    assert not is_url_from_allowed_origins("http://elsewhere.example")
    assert is_url_from_allowed_origins("http://localhost:8501")


def test_without_a_stream_the_page_says_so() -> None:
    def page() -> None:
        from types import SimpleNamespace

        from analytics_assets.dashboards.live import live_section

        live_section(SimpleNamespace(redis_url=None))  # type: ignore[arg-type]

    shown = AppTest.from_function(page).run(timeout=30)
    assert [caption.value for caption in shown.caption] == [
        "There are no live numbers: no stream is set up."
    ]


def test_without_a_proxy_it_listens_on_the_loopback_only() -> None:
    result = CliRunner().invoke(main, ["dashboards", "--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "--behind-proxy" in result.output
