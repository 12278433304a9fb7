"""A damaged warehouse: one error with its remedy, set aside whole, and rebuilt equal."""

import shutil
import struct
from pathlib import Path

import duckdb
import pytest

from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.damage import DamagedError
from analytics_assets.warehouse.diff import diff_builds
from analytics_assets.warehouse.publish import current_build
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.faults.damage import (
    Damage,
    command,
    cut,
    doctor,
    empty,
    failed_in_a_line,
    flip,
    overwrite,
    run,
)

CHECKSUM = 0xBF58476D1CE4E5B9  # of DuckDB: the exclusive or of words times this number


def with_storage_version(path: Path, version: int) -> None:
    """Give a file another version of the storage, with the checksum that it then has."""
    with path.open("r+b") as stream:
        checksum, word = struct.unpack("<QQ", stream.read(16))
        other = (word & 0xFFFFFFFF) | (version << 32)
        for one in (word, other):
            checksum ^= (one * CHECKSUM) & (2**64 - 1)
        stream.seek(0)
        stream.write(struct.pack("<QQ", checksum, other))


@pytest.mark.parametrize("damage", [cut, flip, empty, overwrite])
@pytest.mark.parametrize("method", ["read", "write", "transaction"])
def test_opening_a_damaged_file_is_an_error_with_its_remedy(
    tmp_path: Path, damage: Damage, method: str
) -> None:
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA raw; CREATE TABLE raw.t AS FROM range(200000) t(i)")
    damage(path)
    left = path.read_bytes()
    opened = getattr(Warehouse(path), method)
    with pytest.raises(DamagedError, match="doctor --mend"), opened() as session:
        session.rows("SELECT sum(hash(i)) FROM raw.t")
    assert path.read_bytes() == left


@pytest.mark.parametrize(
    ("version", "sentence"), [(1, "by an older version of DuckDB"), (5000, "by a newer version")]
)
def test_a_file_of_another_duckdb_says_so(tmp_path: Path, version: int, sentence: str) -> None:
    path = tmp_path / "warehouse.duckdb"
    Warehouse(path).prepare()
    with_storage_version(path, version)
    with pytest.raises(DamagedError, match=sentence) as caught, Warehouse(path).read():
        pass
    assert duckdb.__version__ in str(caught.value)
    assert "Install a version that reads it" in str(caught.value)


def test_the_error_of_another_file_is_not_taken_for_damage(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.prepare()
    other = tmp_path / "other.duckdb"
    other.write_bytes(b"no database" * 1000)
    with pytest.raises(duckdb.Error), warehouse.read() as session:
        session.attach(other, "other")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flip])
def test_it_is_set_aside_and_rebuilt_equal(
    copied_project: Project, tmp_path: Path, damage: Damage
) -> None:
    path = copied_project.settings.warehouse_path
    before = shutil.copy(path, tmp_path / "before.duckdb")
    runs = copied_project.instance.get_runs_count()
    damage(path)
    left = path.read_bytes()

    line = failed_in_a_line(command(copied_project, "run"))
    assert "is damaged" in line and "doctor --mend" in line
    (found,) = doctor(copied_project, code=1)["warehouse"]
    assert found["state"] == "error" and "is damaged" in found["text"]
    assert "doctor --mend" in found["remedy"]
    assert path.read_bytes() == left
    assert copied_project.instance.get_runs_count() == runs

    (mended,) = doctor(copied_project, "--mend")["warehouse"]
    (aside,) = path.parent.glob("warehouse.duckdb.damaged-*")
    assert aside.name in mended["mended"]
    assert aside.read_bytes() == left

    run(copied_project)
    assert [one for one in diff_builds(before, path) if not one.same] == []
    assert "Everything is up to date" in run(copied_project)
    # The ledgers go on: what the published build had of them is there.
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute(f"ATTACH '{before}' AS before (READ_ONLY)")
        lost = connection.execute(
            "SELECT run_id FROM before.quality.pipeline_executions "
            "EXCEPT SELECT run_id FROM quality.pipeline_executions"
        ).fetchall()
    assert lost == []


@pytest.mark.slow
def test_damage_that_only_a_table_has_is_found_in_the_run_and_by_the_doctor(
    copied_project: Project,
) -> None:
    path = copied_project.settings.warehouse_path
    whole = path.read_bytes()
    for start in range(12 * 1024, len(whole), 4096):
        content = bytearray(whole)
        content[start : start + 64] = bytes(byte ^ 0xFF for byte in content[start : start + 64])
        path.write_bytes(content)
        if opens_but_lacks(path, "raw.raw_orders") and not opens_but_lacks(
            path, "raw.source_loads"
        ):
            break
    else:
        pytest.fail("no block is only of raw_orders")
    (found,) = doctor(copied_project, code=1)["warehouse"]
    assert "is damaged" in found["text"]
    done = command(copied_project, "backfill", "--from", "2024-03-05", "--to", "2024-03-05")
    assert done.returncode == 1
    assert "doctor --mend" in done.stdout + done.stderr
    assert copied_project.instance.get_runs_count() == 4 + 1


def opens_but_lacks(path: Path, relation: str) -> bool:
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            try:
                connection.execute(f"SELECT sum(hash(t)) FROM {relation} AS t").fetchall()
            except duckdb.Error:
                return True
    except duckdb.Error:
        pass
    return False


@pytest.mark.slow
def test_a_damaged_build_is_replaced_by_the_one_before(copied_project: Project) -> None:
    folder = copied_project.settings.published_dir
    first = current_build(folder)
    second = shutil.copytree(first.parent, folder / "000002") / first.name
    (folder / "CURRENT").write_text("000002/warehouse.duckdb\n")
    flip(second)
    (found,) = doctor(copied_project, code=1)["published"]
    assert found["state"] == "error"
    (mended,) = doctor(copied_project, "--mend")["published"]
    assert "names build 000001 again" in mended["mended"]
    assert current_build(folder) == first
