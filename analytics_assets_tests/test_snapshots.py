"""A change to the graph shows in a diff: of the files in snapshots/, and in this test's message."""

from difflib import unified_diff
from pathlib import Path

import pytest

from analytics_assets.definitions import build_definitions

from .conftest import make_settings, share_manifest
from .snapshots.write import CONFIGURATIONS, describe, path_of


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_graph_is_that_of_the_snapshot(
    configuration: str, tmp_path: Path, manifest: Path
) -> None:
    settings = make_settings(tmp_path / "home", **CONFIGURATIONS[configuration])
    lines = [*describe(build_definitions(share_manifest(manifest, settings)))]
    committed = path_of(configuration).read_text(encoding="utf-8").splitlines()
    diff = [*unified_diff(committed, lines, "snapshot", "definitions", lineterm="", n=0)]
    assert not diff, "\n".join(["Where it should be so, run `make snapshot`.", *diff])
