"""Declarations of sources: what they say is so, and a new one is all that a new source needs."""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from analytics_assets.assets.dbt.models import absent_models
from analytics_assets.checks import integrity, reconciliation, uniqueness, validity
from analytics_assets.partitions import Calendar
from analytics_assets.schemas import TABLES, raw
from analytics_assets.sources.changes import changed_whole
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.declared import LEADING, SOURCES
from analytics_assets.sources.declared.base import Source as Declared
from analytics_assets.sources.ledger import DayLoad
from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.examples import example, namespace
from analytics_assets_tests.sources.conftest import Source

CALENDAR = Calendar(date(2024, 1, 1))
SURVEYS = namespace(example("analytics_assets/sources/declared/surveys.py", "A source"))["SURVEYS"]


def configured(*names: str) -> SourcesConfig:
    return SourcesConfig(CALENDAR, {name: SourceConfig(name, "x.csv") for name in names})


def test_one_source_leads_and_the_others_join_it_or_have_a_job_of_their_own() -> None:
    assert not SOURCES[LEADING].job
    for name, source in SOURCES.items():
        assert not (source.job and source.sample), name
    assert SOURCES["subscriptions"].job


def test_tables_are_loaded_with_sources_that_exist() -> None:
    assert {table.source for table in TABLES.values()} == {*SOURCES, None}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_what_is_declared_exists(source: Declared) -> None:
    tables = [*source.stand_ins, *source.builds, source.fact, source.corrections, source.dimension]
    tables += [rule.table for rule in source.rules] + [one.table for one in source.balances]
    assert {*filter(None, tables)} <= TABLES.keys()
    assert {*source.identity, *source.changing} <= {*source.contract.columns}
    assert {*source.members} <= SOURCES.keys()
    assert all(SOURCES[name].dimension and SOURCES[name].member for name in source.members)


@pytest.mark.parametrize("absent", ["customers", "products", "user_sessions"])
def test_every_absent_model_that_another_reads_has_a_stand_in(absent: str, manifest: Path) -> None:
    kept = (name for name in SOURCES if name not in (absent, "subscriptions", "events"))
    sources = configured(*kept)
    gone = {*absent_models(sources, manifest)} - {
        *absent_models(configured(*(SOURCES.keys() - {"events"})), manifest)
    }
    parsed = json.loads(manifest.read_text())
    children = {
        key.split(".")[-1]: [child.split(".")[-1] for child in found if child.startswith("model.")]
        for key, found in parsed["child_map"].items()
    }
    read = {name for name in gone if {*children[name]} - gone}
    assert read <= {*SOURCES[absent].stand_ins} <= gone


def test_no_part_but_the_declarations_branches_on_a_source_with_a_job_of_its_own() -> None:
    package = REPOSITORY / "analytics_assets"
    files = [*(package / "automation").rglob("*.py"), *(package / "checks").rglob("*.py")]
    found = {
        file.name
        for file in files
        if re.search("subscri", re.sub('(?s)""".*?"""', "", file.read_text()))
    }
    assert found == set()


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tables = example("analytics_assets/schemas/raw.py", "A source")
    namespace(tables, **vars(raw))
    monkeypatch.setitem(SOURCES, "surveys", SURVEYS)
    yield
    del TABLES["raw_surveys"]


@pytest.mark.usefixtures("surveys")
def test_a_new_source_is_configured_loaded_compared_and_checked(source: Source) -> None:
    source.write("surveys.csv", "customer_id,answer\nC1,7\nC2,11\nC3,-1\n")
    file = source.write("sources.yaml", "surveys: {path: surveys.csv}\n")
    sources = load_sources(file)
    config = sources.sources["surveys"]
    assert (sources.has_days, sources.separate) == (False, (config,))
    assert changed_whole(sources, "surveys", source.warehouse)
    result = source.load(config, None)
    assert result.total == DayLoad(3, 2, 1)
    assert result.reasons == {"answer: less than 0": 1}
    assert changed_whole(sources, "surveys", source.warehouse) is None
    checks = [
        *validity.checks(sources),
        *reconciliation.checks(sources),
        *uniqueness.checks(sources, [TABLES["raw_surveys"]]),
        *integrity.checks(sources, 0.1),
    ]
    assert {(check.asset, check.name) for check in checks} == {
        ("raw_surveys", "answer_is_on_the_scale"),
        ("rejected_rows", "no_rejected_surveys"),
        ("raw_surveys", "read_is_accepted_plus_rejected"),
        ("stg_surveys", "accepted_is_staged_plus_collapsed"),
        ("raw_surveys", "key_is_unique"),
        ("raw_surveys", "no_row_twice"),
    }
