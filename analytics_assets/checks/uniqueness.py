"""Duplicates: of the keys of tables, and of rows of a source.

Belongs here: rows that repeat a key or another row. Does not belong here: missing keys (`schema`).
"""

from collections.abc import Iterator, Sequence

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows
from analytics_assets.schemas import Table
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import Source


def checks(sources: SourcesConfig, tables: Sequence[Table]) -> Iterator[Check]:
    """The key of each table, and repeated rows."""
    for table in tables:
        # The rows of a view are checked where they are stored.
        if not table.is_view:
            yield _key(table)
    for config in sources.sources.values():
        yield _repeated(config.declared)
        if config.declared.changing:
            yield _corrected(config.declared)


def _key(table: Table) -> Check:
    key = ", ".join(table.key)
    day = table.day_column
    days = day or "NULL::DATE"

    def repeated(where: str, of: str = "TRUE") -> str:
        return f"""
            SELECT {key}, min({days}) FILTER ({{window}}) AS day, count(*) AS rows
            FROM {table.relation}
            WHERE {of} AND {may_repeat(table, table.key, where)}
            GROUP BY {key} HAVING count(*) > 1
            """

    if day in table.key:
        # Rows of other days have other keys.
        query = repeated("{window}", "{window}")
    else:
        query = repeated(
            f"hash({key}) IN (SELECT hash({key}) FROM {table.relation} WHERE {{window}})"
        )
    return Check(
        "uniqueness",
        table.name,
        "key_is_unique",
        f"No two rows of {table.relation} have the same {key}; the keys of the window are compared "
        "with the whole table.",
        "uniqueness",
        "A source delivered a row on two days (duplicates are removed within a day), or a model "
        "joins a row to several or groups by less than its key. Load the days of the listed keys "
        "again; if they are still duplicate, correct the dates in the source or the model's SQL.",
        ListedRows(
            query,
            total=table.relation,
            day_column=day,
            keys=table.key,
            whole=repeated("TRUE"),
        ),
    )


def may_repeat(table: Table, key: Sequence[str], where: str) -> str:
    """SQL condition that is true for each row with a duplicate key, and for few others.

    It compares hashes instead of texts. Rows with a number are counted in blocks of 64: each number
    is a bit of its block, and a block has as many bits as rows unless a number repeats.
    """
    *rest, last = key
    again = "count(*) > 1"
    if table.sql_types.get(last) in ("INT", "BIGINT"):
        again = f"count(*) > bit_count(bit_or(1::UBIGINT << coalesce({last} & 63, 0)::UBIGINT))"
        last = f"{last} >> 6"
    group = f"hash({', '.join((*rest, last))})"
    return (
        f"{group} IN (SELECT {group} AS h FROM {table.relation} WHERE {where} "
        f"GROUP BY h HAVING {again})"
    )


def _again(source: Source) -> tuple[str, str]:
    """Name and SQL of the rows of the window that share their identity with another one.

    Few of millions of rows do: they are stored once for all rules on repeated rows.
    """
    table, key = source.contract.table, list(source.identity)
    if source.numbered:
        # An order may have several lines without a number: only equal ones are repeated.
        columns = ", ".join(source.contract.columns)
        key.insert(-1, f"CASE WHEN {key[-1]} IS NULL THEN hash({columns}) END")
    may = may_repeat(table, (str(table.window_column), *key), "{window}")
    return (
        f"again_{source.name}",
        f"SELECT * FROM {table.relation} WHERE {{window}} AND {may}",
    )


def _repeated(source: Source) -> Check:
    table = source.contract.table
    columns = ", ".join(source.contract.columns)
    day = table.window_column
    given = (_again(source),) if source.identity else ()
    relation = given[0][0] if given else table.relation
    return Check(
        "uniqueness",
        table.name,
        "no_row_twice",
        f"No row of {source.name} was supplied twice, identical in every column.",
        "uniqueness",
        "Nothing is counted twice: staging keeps one of them. Find out why the source repeats rows "
        "(overlapping exports, a join) and remove the copies there.",
        ListedRows(
            f"""
            SELECT source_file, source_row, {day or "NULL::DATE"} AS day FROM {relation}
            WHERE hash({columns}) IN (
                SELECT hash({columns}) AS h FROM {relation} GROUP BY h HAVING count(*) > 1
            )
            QUALIFY row_number() OVER (
                PARTITION BY {columns} ORDER BY source_file, source_row
            ) > 1
            """,
            total=table.relation,
            day_column=day,
            keys=("source_file", "source_row"),
            given=given,
        ),
        severe_share=None,
    )


def _corrected(source: Source) -> Check:
    table = source.contract.table
    day, number = table.window_column, source.identity[-1]
    key = ", ".join((str(day), *source.identity))
    given = _again(source)
    kept = (*source.changing, *source.identity)
    content = ", ".join(name for name in source.contract.columns if name not in kept)
    return Check(
        "uniqueness",
        table.name,
        "no_line_with_two_contents",
        "No numbered line was supplied again with a difference in more than its status.",
        "consistency",
        f"The facts have the newest by updated_at, and {table.name} keeps all. Review by hand "
        "whether the source corrects lines, or gives two lines the same number.",
        ListedRows(
            f"""
            SELECT source_file, source_row, {day} AS day FROM {given[0]}
            WHERE {number} IS NOT NULL AND hash({key}) IN (
                SELECT hash({key}) AS h FROM {given[0]}
                GROUP BY h HAVING min(hash({content})) <> max(hash({content}))
            )
            QUALIFY row_number() OVER (
                PARTITION BY {key} ORDER BY updated_at DESC NULLS LAST, source_file DESC,
                    source_row DESC
            ) < count(*) OVER (PARTITION BY {key})
                AND min(hash({content})) OVER (PARTITION BY {key})
                    <> max(hash({content})) OVER (PARTITION BY {key})
            """,
            total=table.relation,
            day_column=day,
            keys=("source_file", "source_row"),
            given=(given,),
        ),
        severe_share=None,
    )
