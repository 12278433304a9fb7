"""What a source declares: its contract, what it feeds, and what is asked of its rows.

Belongs here: the shape of a declaration. Does not belong here: any one source (a module each), how
a team's columns are named (`config`), or what is made of a declaration (`checks`, `assets`,
`automation`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics_assets.schemas import TABLES, Table

LOAD_COLUMNS = ("line_key", "source_file", "source_row", "loaded_at")
# Columns that the load derives, and what they are where nothing says otherwise.
DERIVED = {"amount_is_total": "false", "is_refund": "false"}
# A column for whatever further columns the configuration names, as a JSON object.
ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class Contract:
    """What one source supplies, in our names and types.

    Attributes:
        source: the source's name.
        required: columns that the source must have; the others come as NULL where it does not.
        time_column: the column that puts a row into a window; None for unpartitioned sources.
        door: further columns that become something else on the way into the table, each with the
            column of the table whose type and rules it has.
        expected: columns without which a load warns.
        follows: required columns that follow from another, where the source has only that.
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
        """Columns that can come from the source."""
        derived = (*LOAD_COLUMNS, *DERIVED, self.table.window_column)
        return [name for name in self.table.columns if name not in derived]

    @property
    def mappable(self) -> list[str]:
        """Those of them that are one column of the source each."""
        return [name for name in (*self.columns, *self.door) if name != ATTRIBUTES]

    def declared(self, name: str) -> Any:
        """A mappable column as the table's model declares it."""
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
        dimension: what it counts towards in the quality score.
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
    """A figure that has to add up with others: an aggregate over a relation, by day where it has
    days.

    Attributes:
        relation: table or view.
        figure: SQL aggregate.
        by: SQL expression of the day (or month) that figures are compared by; None compares one.
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
        windowed: whether a window of it can be looked at; otherwise it is about whole tables.
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
    """The churn model that is trained on what a source feeds.

    Attributes:
        suffix: what its name in the registry has after the name of the settings.
        scores: table of its scores.
        scored: whose they are, in words.
        newest: SQL condition of the newest scores.
    """

    suffix: str
    scores: str
    scored: str
    newest: str = "TRUE"


@dataclass(frozen=True)
class OwnJob:
    """The job of a source that has nothing to do with the days of the others.

    Attributes:
        description: what it does.
        schedule: what its schedule does.
        cron: when.
    """

    description: str
    schedule: str
    cron: str


@dataclass(frozen=True)
class Source:
    """All that the project knows of one source; everything else iterates over these.

    A name that is empty means that there is no such table, member or file.

    Attributes:
        contract: the columns that it supplies.
        rows: what its rows are, in the plural.
        job: the job that loads it and makes what only it feeds; None for a source that is loaded
            with the days. A source with a job needs no other source.
        leads: whether the days of the warehouse are its days: sources without a job need it.
        stand_ins: models that only it feeds and that others read: empty tables where it is absent.
        fact: table with a row for each of its staged rows.
        corrections: table of the rows whose days it changed later.
        dimension: table whose members its rows are.
        member: what a member is called; `{member}_id` is the column that names it.
        members: sources whose members the rows of the fact name, and whether each row must.
        identity: columns that rows which are equal, or versions of one another, have in common
            next to their day.
        numbered: the last of them, where it numbers rows and may be missing: without a number only
            equal rows are the same.
        changing: columns that the source may change of such a row without saying anything else.
        rules: checks of its values beyond the general ones.
        balances: checks of sums across the layers beyond the general ones.
        model: the churn model that is trained on what it feeds.
        sample: path of its files in the generated sample.
        sample_words: further words of the sample's configuration.
    """

    contract: Contract
    rows: str
    job: OwnJob | None = None
    leads: bool = False
    stand_ins: tuple[str, ...] = ()
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
