"""Recognising files by their first bytes, and unpacking the one text file of a zip archive.

Belongs here: errors for files that are not text, with the remedy. Does not belong here: reading any
format (`delimited`, `excel`, `json_lines`), compression of single files (`files`).
"""

import shutil
import zipfile
import zlib
from pathlib import Path

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import SourceError

# First bytes, the kind of file, and the remedy.
SIGNATURES = (
    (b"SQLite format 3\0", "a SQLite database", "write `format: sqlite` and `table`"),
    (b"PAR1", "a Parquet file", "write `format: parquet`"),
    (b"\x1f\x8b", "compressed with gzip", "let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "let its name end in .zst"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as .xlsx or as CSV"),
    (b"%PDF", "a PDF document", "export CSV or .xlsx instead"),
)
# A mark comes before any other that it begins with.
BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def require_text(config: SourceConfig, path: Path, name: str, encoding: str) -> None:
    """Refuse a file that is no text, or text of 16 or 32 bits without a declared encoding.

    Raises:
        SourceError: the message names the kind of file and the remedy.
    """
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"PK\x03\x04"):
        raise SourceError(f"{config.source}: {name} is {_zip_kind(path)}. Nothing was loaded.")
    if head[8:12] == b"DUCK" and b"\0" in head:
        raise _no_text(config, name, "a DuckDB database", "write `format: duckdb` and `table`")
    for signature, what, way_out in SIGNATURES:
        if head.startswith(signature):
            raise _no_text(config, name, what, way_out)
    if encoding != "utf-8":
        return
    wide = next((code for mark, code in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    whole = head[: len(head) // 2 * 2]
    # ASCII in 16 bits: every other byte is NUL.
    if wide is None and len(whole) >= 8 and b"\0" not in whole[::2] and not any(whole[1::2]):
        wide = "utf-16-le"
    if wide is None and len(whole) >= 8 and b"\0" not in whole[1::2] and not any(whole[::2]):
        wide = "utf-16-be"
    if wide is not None:
        raise SourceError(
            f"{name}, line 1: not UTF-8, but {wide.upper()} by its first bytes. Write "
            f"`encoding: {wide}` of {config.source} in the source configuration, or deliver UTF-8."
        )


def _no_text(config: SourceConfig, name: str, what: str, way_out: str) -> SourceError:
    return SourceError(
        f"{config.source}: {name} is {what}, not text, as its first bytes say: {way_out} in the "
        "source configuration or deliver text. Nothing was loaded."
    )


def _zip_kind(path: Path) -> str:
    """The kind of a zip archive, and the remedy."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        names = []
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook, not text: write `format: excel`, or save it as CSV"
    return f"{_archive_of(names)}, not text: let its name end in .zip"


def _archive_of(names: list[str]) -> str:
    return f"a zip archive{' of ' + ', '.join(names[:3]) if names else ''}"


def require_workbook(config: SourceConfig, path: Path, name: str) -> None:
    """Refuse a file that is no Excel workbook.

    Raises:
        SourceError: the message names the kind of file and the remedy.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
    way_out = "Deliver it again, or save it as CSV; nothing was loaded."
    if head != b"PK\x03\x04":
        what = "an empty file" if not head else "no zip archive, as a workbook is"
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            what = "cut off or broken"
        else:
            if any(one.startswith("xl/") for one in names):
                return
            what = _archive_of(names)
            way_out = "Let its name end in .zip. Nothing was loaded."
    raise SourceError(
        f"{config.source}: {name} is no whole Excel workbook: it is {what}. {way_out}"
    )


def members(archive: zipfile.ZipFile) -> list[str]:
    """Files of an archive, without the hidden ones that programs add."""
    return [
        item.filename
        for item in archive.infolist()
        if not item.is_dir()
        and not item.filename.startswith("__MACOSX/")
        and not item.filename.rpartition("/")[2].startswith(".")
    ]


def unzipped(config: SourceConfig, path: Path, name: str, copy: Path) -> Path:
    """A copy of the one file of an archive, or of the configured `member`.

    Raises:
        SourceError: the archive is broken or encrypted, or the file is not clear.
    """
    member = config.options.get("member")
    out = copy.with_name(f"{copy.name}.member")
    try:
        with zipfile.ZipFile(path) as archive:
            names = members(archive)
            chosen = names if member is None else [one for one in names if one == member]
            if len(chosen) != 1:
                listed = ", ".join(names[:10]) or "no file"
                which = f"no {member!r}" if member else f"{len(names)} files"
                raise SourceError(
                    f"{config.source}: {name} has {which} in it. Write `member` of "
                    f"{config.source} in the source configuration: {listed}."
                )
            with archive.open(chosen[0]) as stream, out.open("wb") as target:
                shutil.copyfileobj(stream, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(
            f"{config.source}: {name} is no whole zip archive that can be read without a password "
            f"({str(error)[:200]}). Deliver it again; nothing was loaded."
        ) from error
    return out
