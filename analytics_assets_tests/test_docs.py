"""README and docs: commands and snippets work as written, links lead somewhere, names exist.

What cannot run within a test is listed in `NOT_RUN` with the reason; that it exists is checked.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from dagster import Definitions

from analytics_assets.cli import main
from analytics_assets.definitions import build_definitions
from analytics_assets.settings import CHECK_POLICIES, Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.readers import READERS

from . import examples
from .conftest import (
    CUSTOMERS,
    HORIZON_DAYS,
    MONTHS,
    REPOSITORY,
    Project,
    make_settings,
)
from .test_imports import LAYERS

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
# In the order in which their commands run.
PAGES = [README, *(DOCS / f"{name}.md" for name in (
    "sources", "systems", "streaming", "quality", "churn-and-value", "analyses",
    "operations", "runbook", "api", "dashboards",
    "performance", "architecture", "extending", "deployment",
))]  # fmt: skip
RUNBOOK = DOCS / "runbook.md"  # its commands follow disasters, which test_runbook.py brings about
GENERATED = DOCS / "settings.md"  # from the settings, which has tests of its own
MEDIA_TYPES = ("application/", "text/")
LANGUAGES = ("shell", "python", "yaml", "text", "sql", "diff", "ini")

# Beginnings of commands that the test does not run, and why.
NOT_RUN = {
    "make test": "it is this very test run",
    "make api": "a server; api/test_server.py starts one",
    "curl 'http://127.0.0.1:8000": "asks that server",
    "curl http://127.0.0.1:8000": "asks that server",
    "curl -H 'Accept: text/csv'": "asks that server",
    "make dashboards": "a server; dashboards/test_pages.py starts one",
    ".venv/bin/analytics-assets dashboards": "a server; dashboards/test_pages.py starts one",
    "make dev": "a server; test_webserver.py starts one",
    "make bench": "takes an hour",
    ".venv/bin/analytics-assets metrics": "a server; automation/test_metrics.py starts one",
    ".venv/bin/analytics-assets check-sources orders_export.csv": "cases/test_systems.py does",
    "make schema docs snapshot": "writes into the repository; test_extending.py does, into a copy",
    ".venv/bin/python benchmarks/run.py": "takes minutes; .ci/run runs it on fewer lines",
    ".venv/bin/python benchmarks/api.py": "takes minutes, and a machine without other work",
    "PATH=.venv/bin:$PATH mlflow models serve": "a server; assets/churn/test_predictions.py does",
    **dict.fromkeys(
        (
            "mkdir -p deploy/secrets",
            "openssl rand",
            'echo "ann',
            'echo "ben',
            "chmod 644",
            "docker compose",
        ),
        "there is no container engine; deploy/test_services.py starts the services",
    ),
    **dict.fromkeys(("kubectl", "helm"), "there is no cluster"),
    "make stream": "needs Java and Spark; streaming/test_commands.py does its steps",
    "make kafka": "a server; streaming/test_kafka.py starts one",
    "ANALYTICS_KAFKA_SERVERS=127.0.0.1:9092": "asks that broker; streaming/test_kafka.py does",
    ".venv/bin/analytics-assets dead-letters": "needs a lake; streaming/test_commands.py does",
    "curl http://127.0.0.1:5001": "asks that server; assets/churn/test_predictions.py does",
}
# The sample is smaller than the default, so that the test takes less time.
INSTEAD = {
    "make run": f".venv/bin/analytics-assets run --customers {CUSTOMERS} --months {MONTHS}",
    ".venv/bin/analytics-assets run": (
        f".venv/bin/analytics-assets run --customers {CUSTOMERS} --months {MONTHS}"
    ),
}
BACKUPS = ("/mnt/backups", "backups")  # nothing is written outside the folder of the test
# Commands whose exit code 1 is an answer.
ANSWERS = {
    ".venv/bin/analytics-assets diff": "the builds differ",
    ".venv/bin/analytics-assets model rollback": "there is no earlier champion",
}


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip()]


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 1
            yield Block(page, line, match[1], match[2])


BLOCKS = list(_blocks())
SHELL = [block for block in BLOCKS if block.language == "shell"]
# Those of extending.md are about a changed project: test_extending.py runs them.
PYTHON = [b for b in BLOCKS if b.language == "python" and b.page != examples.PAGE]
YAML = [b for b in BLOCKS if b.language == "yaml" and b.page != examples.PAGE]
COMMANDS = sorted({command for block in SHELL for command in block.commands})


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def quoted(page: Path) -> set[str]:
    """What stands in backticks in a page."""
    return set(re.findall(r"`([^`\n]+)`", prose(page)))


def section(page: Path, title: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    text = page.read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert match, f"{page.name} has no heading {title!r}"
    rest = text[match.end() :]
    following = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def table(page: Path, title: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    rows = [line for line in section(page, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def starts(command: str, beginnings: Any) -> bool:
    return any(command == name or command.startswith(f"{name} ") for name in beginnings)


# Links, names and commands: all that is mentioned exists.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: {target}"


def _anchor(heading: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([^)#\s]+\.md)\)", README.read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} | {GENERATED.name} == linked
    assert {page.name for page in PAGES[1:]} | {GENERATED.name} == linked


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_its_language(block: Block) -> None:
    assert block.language in LANGUAGES


# What a home has in it, and names that the code puts together.
HOME = {
    "api", "published", "dagster", "mlflow", "profiles", "logs", "sample", "dbt", "duckdb",
    "sqlite", "fetched", "activation",
}  # fmt: skip
COMPOSED = {"churn_subscriptions", "analytics"}


@cache
def code_words() -> frozenset[str]:
    """Every word of the code, the dbt project, the benchmarks and the examples."""
    words: set[str] = set()
    for folder in ("analytics_assets", "dbt_project", "benchmarks", "examples"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.suffix in (".py", ".sql", ".yml", ".yaml") and "target" not in file.parts:
                words |= set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    return frozenset(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_exist(page: Path, whole_graph: Definitions) -> None:
    """Assets, tables, columns, jobs, sensors, checks and words of configurations."""
    keys = {key.path[-1] for key in whole_graph.resolve_asset_graph().get_all_asset_keys()}
    started = (*(whole_graph.schedules or ()), *(whole_graph.sensors or ()))
    known = {*code_words(), *keys, *HOME, *COMPOSED, *(one.name for one in started)}
    if page == examples.PAGE:
        known |= {word for e in examples.examples() for word in re.findall(r"\w+", e.text)}
    for name in quoted(page):
        if (
            re.fullmatch(r"[a-z][a-z0-9]*([_.][a-z0-9]+)+|[a-z][a-z0-9]+", name)
            and not (REPOSITORY / name).exists()
        ):
            unknown = {*name.split(".")} - known
            assert not unknown, f"{page.name}: `{name}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_exist(page: Path) -> None:
    fields = {f"ANALYTICS_{name.upper()}" for name in Settings.__dataclass_fields__}
    for name in re.findall(r"\bANALYTICS_[A-Z_]+", page.read_text(encoding="utf-8")):
        known = name.removesuffix("_FILE") in fields  # every secret may be in a file
        assert known or name in code_words(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    """Those of the repository, of the package, and of a home."""
    for name in quoted(page):
        if not re.fullmatch(r"[.\w-]+(/[.\w-]*)+", name) or name.startswith(MEDIA_TYPES):
            continue
        parts = name.removeprefix(".analytics/").split("/")
        in_home = parts[0] in HOME
        assert (
            in_home
            or (REPOSITORY / name).exists()
            or (REPOSITORY / "analytics_assets" / name).exists()
        ), f"{page.name}: `{name}`"


def mentioned_commands() -> list[tuple[str, str]]:
    """Page and command: in blocks of code and in the text."""
    found = [(str(block), command) for block in SHELL for command in block.commands]
    for page in PAGES:
        found += [(page.name, name) for name in quoted(page)]
    return found


def test_our_commands_exist_with_their_options() -> None:
    seen = set()
    for place, text in mentioned_commands():
        match = re.search(r"(?:^|[/(])analytics-assets (.*?)\)?$", text)
        if match is None:
            continue
        words = shlex.split(match[1], comments=True)
        command: click.Command = main
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{place}: {text}"
            seen.add(words[0])
            command = command.commands[words.pop(0)]
        options = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
        given = {word for word in words if word.startswith("-")}
        assert given <= options, f"{place}: {text}"
    assert seen >= {*main.commands} - {"dev"}, "a command that no page mentions"


def test_targets_of_make_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for place, text in mentioned_commands():
        if text.startswith("make "):
            assert text.split()[1] in targets, f"{place}: {text}"


def test_scripts_exist_with_their_options() -> None:
    for place, text in mentioned_commands():
        match = re.search(r"python (benchmarks/\w+\.py)(.*)", text)
        if match:
            code = (REPOSITORY / match[1]).read_text(encoding="utf-8")
            for option in re.findall(r"--\w+", match[2]):
                assert f'"{option}"' in code, f"{place}: {text}"


def test_what_is_not_run_is_in_the_pages() -> None:
    for beginning in (*NOT_RUN, *INSTEAD, *ANSWERS):
        assert any(starts(command, [beginning]) or command.startswith(beginning)
                   for command in COMMANDS), beginning  # fmt: skip


# Tables of the pages against the code.


@pytest.fixture(scope="module")
def whole_graph(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    """The definitions where orders and subscribers are configured, and the data goes on."""
    folder = tmp_path_factory.mktemp("whole")
    file = folder / "sources.yaml"
    file.write_text(
        "calendar: {start: 2024-01-01}\n"
        + "".join(f"{name}: {{path: {name}.csv}}\n" for name in ("orders", "customers", "products"))
        + "user_sessions: {path: user_sessions.csv}\nsubscriptions: {path: subscriptions.csv}\n"
    )
    return build_definitions(make_settings(folder / "home", ANALYTICS_SOURCES=str(file)))


def test_the_table_of_subscribers(whole_graph: Definitions) -> None:
    rows = table(DOCS / "churn-and-value.md", "Subscribers")
    written = {name for first, *_ in rows for name in names(first)}
    keys = {key.path[-1] for key in whole_graph.resolve_asset_graph().get_all_asset_keys()}
    of_subscribers = {name for name in keys if "subscri" in name or name == "churn_by_contract"}
    assert written == of_subscribers - {"subscriptions_source", "raw_subscriptions"}


def test_the_tables_of_jobs_schedules_and_sensors(whole_graph: Definitions) -> None:
    page = DOCS / "operations.md"
    jobs = {name for first, *_ in table(page, "Jobs") for name in names(first)}
    assert jobs == {job.name for job in whole_graph.jobs or ()}
    rows = [first.split() for first, *_ in table(page, "Schedules and sensors")]
    for kind in ("schedule", "sensor"):
        defined = getattr(whole_graph, f"{kind}s")
        assert {name.strip("`") for of, name in rows if of == kind} == {one.name for one in defined}


def test_the_layers_of_imports() -> None:
    rows = re.findall(r"^\d+\. (.*)$", section(DOCS / "architecture.md", "The code"), re.MULTILINE)
    assert [set(names(row)) for row in rows] == [*LAYERS]


def test_the_tree_of_the_code() -> None:
    tree = next(b.text for b in BLOCKS if b.page.name == "architecture.md" and b.language == "text")
    for line in tree.splitlines():
        match = re.match(r"( *)([\w./]+)", line)
        assert match
        if len(match[1]) <= 2:  # further in, a line goes on
            place = REPOSITORY / "analytics_assets" if match[1] else REPOSITORY
            assert (place / match[2]).exists(), line


def test_the_table_of_families() -> None:
    rows = table(DOCS / "quality.md", "Families and policies")
    assert {names(first)[0]: policy for first, policy, _ in rows} == CHECK_POLICIES


def test_the_table_of_columns() -> None:
    written = {
        names(source)[0]: (set(names(required)), set(names(optional)))
        for source, required, optional in table(DOCS / "sources.md", "Columns")
    }
    assert written == {
        name: (
            {*contract.required},
            {*contract.columns, *contract.door} - {*contract.required},
        )
        for name, contract in ((s.name, s.contract) for s in SOURCES.values())
    }


def test_the_table_of_words() -> None:
    written = [
        name
        for title in ("Words of a source", "An HTTP API")
        for first, *_ in table(DOCS / "sources.md", title)
        for name in names(first)
    ]
    place = {"source", "path", "format", "table", "query", "connection_env", "columns"}
    place |= {"options", "computed"}  # what readers add to it, and what `columns` may have
    place |= {"currency", "reporting_time_zone"}  # words of the whole file
    # A format that the page lists has its words described there.
    formats = [
        name
        for first, *_ in table(DOCS / "sources.md", "Formats and places")
        for name in names(first)
    ]
    of_readers = {word for name in formats for word in READERS[name].own_words}
    assert sorted(written) == sorted({*SourceConfig.__dataclass_fields__} - place | of_readers)
    assert place - {"source", "options", "computed"} <= quoted(DOCS / "sources.md")


def test_the_picture_of_the_graph_and_the_table_of_assets_are_up_to_date() -> None:
    """Else `make docs` writes them."""
    draw: dict[str, Any] = {"__file__": str(DOCS / "images" / "make.py"), "__name__": "make"}
    exec((DOCS / "images" / "make.py").read_text(encoding="utf-8"), draw)
    graph = draw["sample_graph"]()
    picture = (DOCS / "images" / "graph.svg").read_text(encoding="utf-8")
    assert picture == draw["graph_svg"](graph)
    page = draw["ARCHITECTURE"].read_text(encoding="utf-8")
    assert page == draw["with_assets"](page, graph)
    rows = table(draw["ARCHITECTURE"], "The graph")
    assert {node.group for node in graph.values()} == {group for group, *_ in rows}
    assert set(graph) == {name for _, assets, _ in rows for name in names(assets)}


def test_the_benchmark_writes_its_table_where_it_is_read(tmp_path: Path) -> None:
    """What was measured last is what the page has; the words around the table stay."""
    benchmarks = REPOSITORY / "benchmarks"
    report: dict[str, Any] = {"__name__": "report"}
    exec((benchmarks / "report.py").read_text(encoding="utf-8"), report)
    begin, end = report["MARKS"]
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    assert [text.count(mark) for mark in (begin, end)] == [1, 1]
    emptied = tmp_path / "page.md"
    emptied.write_text(f"{text.partition(begin)[0]}{begin}\nold\n{end}{text.partition(end)[2]}")
    results = json.loads((benchmarks / "results" / "results.json").read_text(encoding="utf-8"))
    report["write_report"](results, tmp_path / "results", emptied)
    assert emptied.read_text(encoding="utf-8") == text
    script = (benchmarks / "run.py").read_text(encoding="utf-8")
    assert 'HERE.parent / "docs" / "performance.md"' in script


# Configurations are read as written.


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_configuration_is_read(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert load_sources(file).sources


def test_the_page_on_sources_has_the_example(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(next(b.text for b in YAML if b.page.name == "sources.md"), encoding="utf-8")
    example = load_sources(REPOSITORY / "examples" / "online_retail.yaml")
    here = load_sources(file)
    assert here.calendar == example.calendar
    assert here.sources["orders"].fingerprint == example.sources["orders"].fingerprint


# Commands and snippets run, in the order of the pages, over one home.


def like_a_clone(folder: Path) -> Path:
    """A folder in which commands run as in a clone of the repository, with an empty home."""
    for file in REPOSITORY.iterdir():
        if file.name not in (".venv", ".git", ".analytics"):
            (folder / file.name).symlink_to(file)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def checkout(
    shared: Path, built_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder like a clone of the repository, with a small sample built and a shop to load."""
    folder = like_a_clone(tmp_path_factory.mktemp("checkout"))
    shutil.copytree(built_project.settings.home, folder / ".analytics")
    # It names the folder that it was written for.
    (folder / ".analytics" / "dagster" / "dagster.yaml").unlink()
    sources = folder / "sources.yaml"
    sources.write_text(next(b.text for b in YAML if b.page == README), encoding="utf-8")
    _write_shop(folder, load_sources(sources))
    return folder


def _write_shop(folder: Path, sources: SourcesConfig) -> None:
    """Files of a shop as the configuration in the README describes them."""
    calendar, orders = sources.calendar, sources.sources["orders"]
    assert calendar.end is not None
    days = (calendar.end - calendar.start).days
    random = np.random.default_rng(7)
    rows = days * 12
    day_of_row = np.sort(random.integers(0, days, rows))
    frame = pd.DataFrame(
        {
            "day": day_of_row,
            # Two lines an order, all on one day.
            orders.columns["order_id"]: [
                f"{day:03d}{number // 2:05d}" for number, day in enumerate(day_of_row)
            ],
            orders.columns["customer_id"]: random.zipf(1.3, rows) % 400,
            orders.columns["product_id"]: [f"P{number}" for number in random.integers(0, 50, rows)],
            orders.columns["quantity"]: random.integers(1, 9, rows),
            orders.columns["unit_price"]: random.integers(100, 5000, rows) / 100,
        }
    )
    for number, lines in frame.groupby("day"):
        day = calendar.start + timedelta(days=int(str(number)))
        file = folder / orders.path.format(date=day)
        file.parent.mkdir(exist_ok=True)
        lines.drop(columns="day").assign(
            **{orders.columns["ordered_at"]: f"{day} 12:00:00"}
        ).to_csv(file, index=False)


def run(checkout: Path, *command: str) -> str:
    """What a command prints; it has to succeed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_")},
        "ANALYTICS_CHURN_HORIZON_DAYS": str(HORIZON_DAYS),
        "PYTHONPATH": str(REPOSITORY),
    }
    result = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, f"{command[-1]}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result.stdout


def run_block(block: Block, checkout: Path) -> str:
    """What the commands of a shell block print, in one shell that ends at the first error."""
    script = []
    for command in block.commands:
        if any(command.startswith(beginning) for beginning in NOT_RUN):
            continue
        answer = " || [ $? -eq 1 ]" if starts(command, ANSWERS) else ""
        command = INSTEAD.get(command, command).replace(*BACKUPS)
        script.append(command + answer)
    return run(checkout, "bash", "-euc", "\n".join(script))


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [*(block for block in SHELL if block.page != RUNBOOK), *PYTHON], ids=str
)
def test_it_runs(block: Block, checkout: Path) -> None:
    if block.language == "python":
        run(checkout, ".venv/bin/python", "-c", block.text)
    else:
        run_block(block, checkout)
