"""Every error of a source says what to do about it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import analytics_assets.sources

FOLDER = Path(analytics_assets.sources.__file__).parent
ERRORS = ("SourceError", "UnreachableError", "DoubtError", "MissingColumnError", "kind")
# What puts the remedy into a text.
GIVEN = {"way_out", "_zip_kind", "_sentence"}
REMEDY = re.compile(
    r"\b([Cc]heck|[Cc]orrect|[Dd]eliver|[Dd]eclare|[Ww]rite|[Nn]ame|[Rr]ename|[Aa]dd|[Ss]et|[Ee]xport|"
    r"[Ll]ook whether|[Ll]oad|[Ii]nstall|needs analytics_assets)\b"
)


def errors() -> Iterator[tuple[str, str]]:
    """Place and text of each error that is raised as it is written."""
    for file in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ERRORS and node.args:
                pieces = [
                    str(part.value)
                    for argument in node.args
                    for part in ast.walk(argument)
                    if isinstance(part, ast.Constant)
                ]
                names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                if not names & GIVEN:
                    yield f"{file.relative_to(FOLDER)}:{node.lineno}", "".join(pieces)


@pytest.mark.parametrize("text", [pytest.param(text, id=place) for place, text in errors()])
def test_an_error_of_a_source_names_its_remedy(text: str) -> None:
    assert REMEDY.search(text.replace("Nothing was loaded", "")), text
