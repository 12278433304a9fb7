"""The runbook has each alert and each error that we raise; its disasters are tried as written."""

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import analytics_assets
from analytics_assets.automation.alerts.rules import RULES
from analytics_assets.warehouse.diff import diff_builds
from analytics_assets.warehouse.publish import current_build

from .conftest import REPOSITORY
from .faults.damage import SAMPLE, flip, overwrite
from .test_docs import BLOCKS, like_a_clone, run, run_block, section
from .test_docs import RUNBOOK as PAGE

PACKAGE = Path(analytics_assets.__file__).parent
SOURCES = PACKAGE / "sources"
PROMETHEUS = REPOSITORY / "deploy" / "prometheus" / "alerts.yml"
# What reaches people besides our own classes: of Dagster and click, and the problem of a channel.
OTHERS = {"Failure", "ClickException", "Problem"}
# Calls of a single file: the rule of a setting with its sentence, an error that the caller chose.
OF_FILES = {"setting_rules.py": "_rule", "churn/data.py": "error"}
# Functions whose text becomes the message of an error.
WRITERS = {
    "addresses.py": "address_problem",
    "settings.py": "_conflicts",
    "assets/quality/blocking.py": "still_failing",
    "streaming/application.py": "_in_words",
    "warehouse/damage.py": "remedy",
}
GAP = "…"  # in a message, what differs from time to time


def classes(folder: Path) -> set[str]:
    """The error classes that are defined in a folder."""
    return {
        node.name
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and re.fullmatch(r"[A-Z]\w+Error", node.name)
    }


def constant_text(node: ast.AST | None) -> str:
    """The constant parts of a message, with a gap where something is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", GAP, node.value)  # a sentence of a rule has its gaps in braces
    if isinstance(node, ast.JoinedStr):
        return re.sub(r"\{[^{}]*\}", GAP, "".join(map(constant_text, node.values)))
    if isinstance(node, ast.BinOp):
        return constant_text(node.left) + constant_text(node.right)
    if isinstance(node, ast.Call):
        return GAP.join(map(constant_text, node.args)) or GAP
    return GAP


def messages() -> Iterator[tuple[str, str]]:
    """Place and text of each message that an error is raised with, outside the sources."""
    kinds = (classes(PACKAGE) - classes(SOURCES)) | OTHERS
    for file in sorted(PACKAGE.rglob("*.py")):
        if SOURCES in file.parents:
            continue
        place = file.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            texts: list[ast.AST | None] = []
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if node.args and (name in kinds or name == OF_FILES.get(place)):
                    texts = [node.args[-1] if name == "_rule" else node.args[0]]
            elif isinstance(node, ast.FunctionDef) and node.name == WRITERS.get(place):
                ends = (ast.Return, ast.Yield)
                texts = [end.value for end in ast.walk(node) if isinstance(end, ends)]
            for text in map(constant_text, texts):
                if re.search(r"[A-Za-z]", text):  # else it passes on the text of another error
                    yield f"{place}:{node.lineno}", " ".join(text.split())


MESSAGES = list(messages())


def rows(title: str) -> list[list[str]]:
    """The cells of every table below a heading, without the heads."""
    lines = section(PAGE, title).splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    heads = [before for before, line in pairwise(lines) if line[:4] == "|---"]
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in rows if row not in heads
    ]


PHRASES = [phrase for first, *_ in rows("Errors") for phrase in re.findall(r'"([^"]+)"', first)]


def says(message: str, phrase: str) -> bool:
    """Whether a message has the words of the page; a gap of the page may be anything."""
    return bool(re.search(".*".join(map(re.escape, phrase.split(GAP))), message))


def test_there_are_messages() -> None:
    """The rows are compared with something."""
    assert len(MESSAGES) > 100
    places = {place.rpartition(":")[0] for place, _ in MESSAGES}
    assert {*WRITERS, *OF_FILES} <= places


@pytest.mark.parametrize("message", [pytest.param(text, id=place) for place, text in MESSAGES])
def test_each_error_has_a_row(message: str) -> None:
    assert any(says(message, phrase) for phrase in PHRASES), message


@pytest.mark.parametrize("phrase", PHRASES)
def test_each_row_has_an_error(phrase: str) -> None:
    assert any(says(message, phrase) for _, message in MESSAGES), phrase


def test_a_row_says_what_it_means_and_what_to_do() -> None:
    for row in (*rows("Errors"), *rows("Alerts")):
        assert len(row) >= 3, row
        assert all(row), row


def test_the_kinds_of_errors_of_sources() -> None:
    kinds = {name for first, *_ in rows("Sources") for name in re.findall(r"`(\w+)`", first)}
    assert kinds == classes(SOURCES)


def test_each_alert_is_in_the_page() -> None:
    of_prometheus = [
        rule["alert"]
        for group in yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    written = [name for first, *_ in rows("Alerts") for name in re.findall(r"`(\w+)`", first)]
    assert sorted(written) == sorted([*(rule.name for rule in RULES), *of_prometheus])


# Disasters, and the commands of the page after them.


def lose_home(home: Path) -> None:
    shutil.rmtree(home)


def damage_warehouse(home: Path) -> None:
    flip(home / "warehouse.duckdb")


def lose_published(home: Path) -> None:
    shutil.rmtree(home / "published")


def damage_records(home: Path) -> None:
    for name in ("history/runs.db", "history/runs/index.db"):
        overwrite(home / "dagster" / name)


def damage_registry(home: Path) -> None:
    overwrite(home / "mlflow" / "mlflow.db")


def load_wrong_data(home: Path) -> None:
    """A file of a day with three pieces instead of one is loaded, and corrected afterwards."""
    file = sorted((home / "sample").rglob("orders/*.csv"))[-30]
    right = file.read_text()
    file.write_text(right.replace(",1,", ",3,"))
    assert file.read_text() != right
    run(home.parent, ".venv/bin/analytics-assets", "run", *SAMPLE)
    file.write_text(right)


def leak_secret(home: Path) -> None:
    (home.parent / "leaked.txt").write_text("a-password-that-leaked\n")


DISASTERS: dict[str, Callable[[Path], None]] = {
    "Lost home": lose_home,
    "Damaged warehouse": damage_warehouse,
    "Lost published copy": lose_published,
    "Lost records of Dagster": damage_records,
    "Lost registry": damage_registry,
    "Wrong data loaded": load_wrong_data,
    "A secret leaked": leak_secret,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone, with a sample built in its home, a copy of that, and a backup."""
    folder = like_a_clone(tmp_path_factory.mktemp("runbook"))
    run(folder, ".venv/bin/analytics-assets", "run", *SAMPLE)
    run(folder, ".venv/bin/analytics-assets", "backup", "backups")
    shutil.copytree(folder / ".analytics", folder / "before")
    return folder


def test_every_disaster_of_the_page_is_tried() -> None:
    titles = re.findall(r"^### (.*)$", section(PAGE, "Disaster recovery"), re.MULTILINE)
    assert titles == [*DISASTERS]


@pytest.mark.slow
@pytest.mark.parametrize("title", DISASTERS)
def test_the_commands_after_a_disaster(title: str, built: Path) -> None:
    home = built / ".analytics"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(built / "before", home)
    DISASTERS[title](home)
    text = section(PAGE, title)
    fences = [(b, f"```shell\n{b.text}```") for b in BLOCKS if b.page == PAGE]
    blocks = [block for block, fenced in fences if fenced in text]
    assert blocks
    printed = "".join(run_block(block, built) for block in blocks)
    before = built / "before"
    for was, now in (
        (before / "warehouse.duckdb", home / "warehouse.duckdb"),
        (current_build(before / "published"), current_build(home / "published")),
    ):
        differ = {one.table for one in diff_builds(was, now) if not one.same}
        # The training after the correction was compared with the champion of the wrong data.
        of_training = {"churn.churn_model", "churn.churn_backtest"}
        assert differ <= (of_training if title == "Wrong data loaded" else set())
    again = run(built, ".venv/bin/analytics-assets", "run", *SAMPLE)
    assert "Everything is up to date" in again
    if title == "A secret leaked":
        assert "not in the home" in printed
        assert not (built / "leaked.txt").exists()


@pytest.mark.slow
def test_the_first_command(built: Path) -> None:
    """It finds nothing wrong with a whole home, and changes nothing."""
    block = next(block for block in BLOCKS if block.page == PAGE)
    printed = run_block(block, built)
    assert " 0 errors" in printed
