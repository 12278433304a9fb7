"""Who asks, and what their scopes allow.

Belongs here: scopes and the columns they open. Does not belong here: how a caller proves who they
are (`keys`, `tokens`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from analytics_assets.api.columns import Column, columns_of, readable_tables
from analytics_assets.api.problems import ProblemError
from analytics_assets.schemas import Table

READ_ALL, PERSONAL, PREDICT, METRICS = "read:*", "personal", "predict", "metrics"
LIVE = "live"
SCOPES = (
    f"{READ_ALL}, read:<table>, read:<table>.<column>, {PERSONAL}, {PREDICT}, {LIVE}, {METRICS}"
)


class ScopeError(ValueError):
    """A scope does not exist; the message lists those that do."""


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes, if all of them exist.

    Raises:
        ScopeError: one does not.
    """
    checked = frozenset(scopes)
    for scope in sorted(checked):
        match = re.fullmatch(r"read:(\w+)(?:\.(\w+))?", scope)
        table = readable_tables().get(match[1]) if match else None
        known = table is not None and (not match or not match[2] or match[2] in table.columns)
        if not known and scope not in (READ_ALL, PERSONAL, PREDICT, LIVE, METRICS):
            raise ScopeError(
                f"{scope!r} is no scope. Use {SCOPES}; `GET /v1/tables` and docs/api.md list the "
                "tables and columns."
            )
    return checked


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        id: what the audit log and the limits know them by.
        scopes: what they may do.
        rate: requests a minute; None for the default, 0 for no limit.
    """

    id: str
    scopes: frozenset[str]
    rate: int | None = None
    _columns: dict[str, dict[str, Column]] = field(default_factory=dict, compare=False, repr=False)

    def columns(self, table: Table) -> dict[str, Column]:
        """The columns of a table that the caller may read; empty for none of it."""
        known = self._columns.get(table.name)
        if known is None:
            known = self._columns[table.name] = {
                name: column
                for name, column in columns_of(table).items()
                if self._opens(table.name, name) and (PERSONAL in self.scopes or not column.person)
            }
        return known

    def require_table(self, table: Table) -> None:
        """Refuse a table of which the caller may read nothing.

        Raises:
            ProblemError: there is no scope for it.
        """
        if not self.columns(table):
            raise ProblemError(
                403,
                "table-not-allowed",
                f"This caller has no scope for {table.name}. Ask for a key with the scope "
                f"read:{table.name}.",
            )

    def require_columns(self, table: Table, names: Iterable[str]) -> None:
        """Refuse if one of the columns is not among those that the caller may read.

        Raises:
            ProblemError: scopes are missing.
        """
        missing = [name for name in names if name not in self.columns(table)]
        if missing:
            personal = any(columns_of(table)[name].person for name in missing)
            raise ProblemError(
                403,
                "table-not-allowed",
                f"This answer reads columns of {table.name} that are not in the scopes of this "
                f"caller: {', '.join(missing)}. Ask for a key with the scope read:{table.name}"
                f"{' and personal' if personal else ''}.",
            )

    def require(self, scope: str) -> None:
        """Refuse without a scope.

        Raises:
            ProblemError: the caller does not have it.
        """
        if scope not in self.scopes:
            raise ProblemError(
                403, "scope-missing", f"This needs the scope {scope}. Ask for a key that has it."
            )

    def _opens(self, table: str, column: str) -> bool:
        wanted = {READ_ALL, f"read:{table}", f"read:{table}.{column}"}
        return not wanted.isdisjoint(self.scopes)


# On the loopback without keys: whoever can reach it can read the file, too.
LOCAL = Caller("local", frozenset({READ_ALL, PERSONAL, PREDICT, METRICS}), 0)
NOBODY = Caller("nobody", frozenset())
