"""The declaration of a source: its contract, its tables and models, and the rules for its rows.

Belongs here: the classes of a declaration. Does not belong here: any one source (a module each),
the columns of a team's source (`config`), or the use of a declaration (`checks`, `assets`,
`automation`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics_assets.schemas import TABLES, Table

LOAD_COLUMNS = ("line_key", "source_file", "source_row", "loaded_at")
# Columns that the load derives, with their default values.
DERIVED = {"amount_is_total": "false", "is_refund": "false"}
# A column with all further columns that the configuration names, as a JSON object.
ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class Contract:
    """The columns that one source supplies, in our names and types.

    Attributes:
        source: the source's name.
        required: columns that the source must have; any other is NULL where it does not.
        time_column: the column that gives the day of a row; None for unpartitioned sources.
        door: further columns that are converted during the load and not stored themselves, each
            with the column of the table whose type and rules it has.
        expected: columns without which a load warns.
        follows: required columns that are derived from another, where the source has only that.
    """

    source: str
    required: tuple[str, ...]
    time_column: str | None = None
    expected: tuple[str, ...] = ()
    door: Mapping[str, str] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The raw table that the source is loaded into."""
        return TABLES[f"raw_{self.source}"]

    @property
    def columns(self) -> list[str]:
        """Columns of the table that can come from the source."""
        derived = (*LOAD_COLUMNS, *DERIVED, self.table.window_column)
        return [name for name in self.table.columns if name not in derived]

    @property
    def mappable(self) -> list[str]:
        """Columns that can be mapped to a column of the source."""
        return [name for name in (*self.columns, *self.door) if name != ATTRIBUTES]

    def declared(self, name: str) -> Any:
        """The declaration of a mappable column in the table's model."""
        return self.table.schema.columns[self.door.get(name, name)]

    @property
    def not_null(self) -> list[str]:
        """Columns without which a row is rejected."""
        return [name for name in self.columns if not self.table.schema.columns[name].nullable]


@dataclass(frozen=True)
class Rule:
    """A rule on the values of a row, as a check of a table.

    Attributes:
        table: the table.
        name: of the check.
        description: what is true when it passes.
        remedy: what one could do about a failure.
        broken: SQL condition of the rows that break it.
        applies: SQL condition of the rows that it is about.
        dimension: dimension of the quality score that it counts towards.
    """

    table: str
    name: str
    description: str
    remedy: str
    broken: str
    applies: str = "TRUE"
    dimension: str = "validity"


@dataclass(frozen=True)
class Figure:
    """A figure of an equation: an aggregate over a relation, by day where it has days.

    Attributes:
        relation: table or view.
        figure: SQL aggregate.
        by: SQL expression of the day (or month) to group by; None for one figure.
        where: condition on the rows.
    """

    relation: str
    figure: str = "count(*)"
    by: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class Balance:
    """Two figures of two layers that are equal, as a check of a table.

    Attributes:
        table: the table.
        name: of the check.
        description: what is true when it passes.
        left: one figure.
        right: the other.
        windowed: whether it can be checked for a window; otherwise only for whole tables.
        money: whether the figures are money rather than rows.
    """

    table: str
    name: str
    description: str
    left: Figure
    right: Figure
    windowed: bool = True
    money: bool = False


@dataclass(frozen=True)
class ChurnModel:
    """The churn model that is trained on a source's data.

    Attributes:
        suffix: appended to the model name of the settings, for its name in the registry.
        scores: table of its scores.
        scored: who is scored, in words.
        newest: SQL condition of the newest scores.
    """

    suffix: str
    scores: str
    scored: str
    newest: str = "TRUE"


@dataclass(frozen=True)
class OwnJob:
    """The job of a source that is independent of the days of the others.

    Attributes:
        description: description of the job.
        schedule: description of its schedule.
        cron: cron expression of its schedule.
    """

    description: str
    schedule: str
    cron: str


@dataclass(frozen=True)
class Source:
    """The declaration of one source; all other code iterates over these.

    An empty name means that there is no such table, member or file.

    Attributes:
        contract: the columns that it supplies.
        rows: noun for its rows, in the plural.
        job: the job that loads it and builds what depends on it alone; None for a source that is
            loaded with the days. A source with a job needs no other source.
        stand_ins: models of this source alone that others read: empty tables where it is absent.
        builds: models of another source that are built from this one where the other is absent.
        fact: table with a row for each of its staged rows.
        corrections: table of its rows that were changed on a later day.
        dimension: table whose members its rows are.
        member: noun for a member; the column `{member}_id` identifies it.
        members: sources of the members that the rows of the fact reference, and whether each must.
        identity: columns that, with the day, identify a row in all its copies and versions.
        numbered: whether the last of them is a number that may be missing: without it only equal
            rows are the same.
        changing: columns that may differ between versions of a row, such as its status.
        rules: further checks of its values.
        balances: further checks of sums across the layers.
        model: the churn model that is trained on its data.
        sample: path of its files in the generated sample.
        sample_words: further words of the sample's configuration.
    """

    contract: Contract
    rows: str
    job: OwnJob | None = None
    stand_ins: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    fact: str = ""
    corrections: str = ""
    dimension: str = ""
    member: str = ""
    members: Mapping[str, bool] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    numbered: bool = False
    changing: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    balances: tuple[Balance, ...] = ()
    model: ChurnModel | None = None
    sample: str = ""
    sample_words: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The word of the configuration."""
        return self.contract.source
