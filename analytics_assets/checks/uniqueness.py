"""What should stand once stands once.

Belongs here: the keys of tables, and rows that a source supplied more than once. Does not belong
here: keys that are missing (`schema`).
"""

from collections.abc import Iterator, Sequence

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows
from analytics_assets.schemas import Table
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.contract import Contract

# What rows that are equal, or versions of one another, have in common beside their day.
IDENTITY = {
    "orders": ("order_id", "{equal}", "line_number"),
    "user_sessions": ("session_id",),
}
# What a source may change of an order line without saying anything else of it.
CHANGING = ("status", "updated_at")


def checks(sources: SourcesConfig, tables: Sequence[Table]) -> Iterator[Check]:
    """The key of each table, and repeated rows."""
    for table in tables:
        # The rows of a view are checked where they are stored.
        if table.group != "staging":
            yield _key(table)
    for config in sources.sources.values():
        yield _repeated(config.contract)
        if config.source == "orders":
            yield _corrected(config.contract)


def _key(table: Table) -> Check:
    key = ", ".join(table.key)
    day = table.day_column
    days = day or "NULL::DATE"

    def repeated(where: str, of: str = "TRUE") -> str:
        return f"""
            SELECT {key}, min({days}) FILTER ({{window}}) AS day, count(*) AS rows
            FROM {table.relation}
            WHERE {of} AND {_may_stand_twice(table, table.key, where)}
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
        f"No two rows of {table.relation} have the same {key}; the keys of the window are looked "
        "up in the whole table.",
        "uniqueness",
        "A source delivered a row on two days (de-duplication looks within a day), or a model "
        "joins a row to several or groups by less than its key. Load the days of the listed keys "
        "again; if they are still there twice, correct the dates in the source or the model's SQL.",
        ListedRows(
            query,
            total=table.relation,
            day_column=day,
            keys=table.key,
            whole=repeated("TRUE"),
        ),
    )


def _may_stand_twice(table: Table, key: Sequence[str], where: str) -> str:
    """SQL condition: true for each row of the table whose key others have, too, and for few others.

    Numbers are compared, not texts, and rows that are numbered in blocks of 64: each number is a
    bit of its block, and a block has as many bits as rows unless a number stands twice in it.
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


def _again(contract: Contract) -> tuple[str, str]:
    """Name and SQL of the rows of the window that share their identity with another one.

    Of millions of rows few do: they are found once, and looked at by all rules on repeated rows.
    """
    table = contract.table
    # Lines without a number may be many in an order: of them only equal ones.
    equal = f"CASE WHEN line_number IS NULL THEN hash({', '.join(contract.columns)}) END"
    key = [name.format(equal=equal) for name in IDENTITY[contract.source]]
    may = _may_stand_twice(table, (str(table.window_column), *key), "{window}")
    return (
        f"again_{contract.source}",
        f"SELECT * FROM {table.relation} WHERE {{window}} AND {may}",
    )


def _repeated(contract: Contract) -> Check:
    table = contract.table
    columns = ", ".join(contract.columns)
    day = table.window_column
    given = (_again(contract),) if contract.source in IDENTITY else ()
    relation = given[0][0] if given else table.relation
    return Check(
        "uniqueness",
        table.name,
        "no_row_twice",
        f"No row of {contract.source} was supplied twice, the same in every column.",
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


def _corrected(contract: Contract) -> Check:
    table = contract.table
    key = "order_date, order_id, line_number"
    given = _again(contract)
    content = ", ".join(
        name for name in contract.columns if name not in (*CHANGING, "order_id", "line_number")
    )
    return Check(
        "uniqueness",
        table.name,
        "no_line_with_two_contents",
        "No numbered line was supplied again with another content than its status.",
        "consistency",
        "The newest by updated_at stands in the facts, and all are kept in raw_orders. Review by "
        "hand whether the source corrects lines, or numbers two lines alike.",
        ListedRows(
            f"""
            SELECT source_file, source_row, order_date AS day FROM {given[0]}
            WHERE line_number IS NOT NULL AND hash({key}) IN (
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
            day_column="order_date",
            keys=("source_file", "source_row"),
            given=(given,),
        ),
        severe_share=None,
    )
