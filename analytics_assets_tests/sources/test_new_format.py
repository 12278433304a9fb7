"""The format of docs/extending.md: a reader and its registration are all that it takes."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.ledger import DayLoad
from analytics_assets.sources.readers import READERS
from analytics_assets_tests.examples import example, namespace, only
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source

READER = example("analytics_assets/sources/readers/fixed_width.py", "A format")
FixedWidthReader = namespace(READER)["FixedWidthReader"]
WIDTHS = yaml.safe_load(only("A format", "yaml"))["orders"]["widths"]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, FixedWidthReader.format, FixedWidthReader)


@pytest.fixture
def config(source: Source) -> SourceConfig:
    source.write("orders.fwf", only("A format", "text"))
    return source.config("orders.fwf", format="fixed", options={"widths": WIDTHS})


def configured(folder: Path, words: str) -> SourcesConfig:
    file = folder / "sources.yaml"
    file.write_text(f"calendar: {{start: 2024-01-01}}\norders: {{path: orders.fwf, {words}}}\n")
    return load_sources(file)


def test_its_rows_are_typed_and_accounted_for_as_all_are(
    source: Source, config: SourceConfig
) -> None:
    result = source.load(config, JANUARY)
    assert result.total == DayLoad(2, 1, 1)
    assert source.rows("SELECT order_id, quantity, source_row FROM raw.raw_orders") == [
        ("O1", 2, 1)
    ]
    assert result.reasons == {
        "quantity: a fraction; `decimal_quantity: true` accepts quantities with decimals": 1
    }


def test_its_changes_are_seen(source: Source, config: SourceConfig) -> None:
    def versions() -> dict[date | None, str]:
        return source_versions(config, CALENDAR, JANUARY, source.warehouse)

    before = versions()
    path = Path(config.path)
    path.write_text(path.read_text().replace("9.50", "8.50", 1))
    os.utime(path, (1, 1))
    changed = {day for day, version in versions().items() if version != before[day]}
    assert changed == {date(2024, 1, 2)}


def test_it_can_be_looked_at_before_a_load(config: SourceConfig) -> None:
    report = check_sources(SourcesConfig(CALENDAR, {"orders": config}))[0]
    assert (report.found, report.rows, report.rejected) == ("1 file", 2, 1)


def test_its_suffix_and_its_own_words_are_read_from_the_configuration(tmp_path: Path) -> None:
    found = configured(tmp_path, "widths: {order_id: 6}").sources["orders"]
    assert (found.format, found.options) == ("fixed", {"widths": {"order_id": 6}})


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("format: csv, widths: {order_id: 6}", "widths: means nothing for the format csv"),
        ("delimiter: ;", "delimiter: means nothing for the format fixed"),
        ("width: 6", "Did you mean 'widths'"),
    ],
)
def test_words_of_another_format_are_errors(tmp_path: Path, words: str, error: Any) -> None:
    with pytest.raises(SourceConfigError, match=error):
        configured(tmp_path, words)
