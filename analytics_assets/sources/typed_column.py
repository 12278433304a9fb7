"""One column of a source on its way into the contract's type.

Belongs here: the SQL of its value, and the rules that a value must keep. Does not belong here: the
forms of texts and numbers (`casts`), or whole rows (`typed`).

In the SQL, `s` is the row as the source has it, `c` the casts that are tried first, and `v` the row
as it is typed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis.expr.datatypes as dt

from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.schemas.raw import STATUSES
from analytics_assets.sources.casts import bare, in_utc, misfit, misfits, read_as
from analytics_assets.sources.config import NOBODY, SourceConfig

FRACTION = "a fraction; `decimal_quantity: true` accepts quantities with decimals"
# Excel writes long numbers so.
SCIENTIFIC = "[0-9](\\.[0-9]+)?E\\+[0-9]+"
LOST_DIGITS = "in scientific notation: the export has lost digits"
MAX_BYTES = 1_000_000
# What staging strips too: an identifier of nothing else is missing, and has to be so at the door.
WHITE_SPACE = "' \t\v\f\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff'"
# Trimming costs more than reading, and so does finding out at once: most texts are ASCII and end in
# no blank; of the others, those whose ends are visible ASCII need none either. (`!` negates.)
PLAINLY_TRIMMED = "{0} BETWEEN '!' AND '~' AND strlen({0}) = length({0}) AND reverse({0}) >= '!'"
# Letters, digits and `-._~` alone, as most codes are: they need none, in one look.
CODE = "url_encode({0}) = {0}"
TRIMMED = """{0} GLOB '["-~]*' AND {0} GLOB '*["-~]'"""


@dataclass(frozen=True)
class QuickCast:
    """A way around the matching for text in the form in which DuckDB itself writes the type.

    What is written again as it came was read for what it is; comparing costs a fraction of
    matching. Of a number the decimals may be left out that are zeros.

    Attributes:
        cast: the cast that is tried.
        fits: the condition under which it is right.
        value: the value then.
    """

    cast: str
    fits: str
    value: str


@dataclass(frozen=True)
class TypedColumn:
    """A column of the contract that the source has.

    Attributes:
        name: our name.
        source: SQL of the source's value.
        source_type: DuckDB type of it. VARCHAR is text that is matched and cast.
        declared: the column as the table's model declares it.
        config: the source.
        may_hold_nul: whether a NUL byte may be in a text.
        nullable: whether it may be missing.
    """

    name: str
    source: str
    source_type: str
    declared: Any
    config: SourceConfig
    may_hold_nul: bool
    nullable: bool

    @property
    def type(self) -> dt.DataType:
        """The type that it gets."""
        if self.name == "quantity" and not self.config.decimal_quantity:
            return dt.int32  # stored with decimals, and read without
        type_: dt.DataType = self.declared.dtype.type
        return type_

    @property
    def words(self) -> tuple[str, ...]:
        """Words for a missing value."""
        return self.config.null_words_of(self.name)

    @property
    def is_id(self) -> bool:
        """Whether it is an identifier, as text."""
        return self.name.endswith("_id") and self.source_type == "VARCHAR"

    @property
    def is_text(self) -> bool:
        """Whether it stays text."""
        return isinstance(self.type, dt.String)

    @property
    def value(self) -> str:
        """SQL of the typed value."""
        return f"v.{identifier(self.name)}"

    @property
    def typed(self) -> str:
        """SQL that types the value, the quickest way that fits first; NULL where none does."""
        typed = self._text() if self.is_text else self._read()
        if self.quick:
            typed = f"CASE WHEN {self.quick.fits} THEN {self.quick.value} ELSE {typed} END"
        if self.as_it_came:
            typed = f"CASE WHEN c._plain THEN {self.source} ELSE {typed} END"
        return typed

    @cached_property
    def quick(self) -> QuickCast | None:
        """The quick cast; None where the configuration has forms of its own."""
        if self.source_type != "VARCHAR" or _has_numbers(self.words):
            return None
        source, cast = self.source, f"c.{identifier(self.name)}"
        if isinstance(self.type, dt.Integer):
            return QuickCast(f"TRY_CAST({source} AS INT)", f"{cast}::VARCHAR = {source}", cast)
        if isinstance(self.type, dt.Decimal) and self.config.decimal == ".":
            stored = f"DECIMAL({self.type.precision}, {self.type.scale})"
            fits = f"starts_with({cast}::VARCHAR, {source})"
            return QuickCast(f"TRY_CAST({source} AS {stored})", fits, cast)
        if isinstance(self.type, dt.Timestamp) and not self.config.timestamp_formats:
            # Not infinity, nor the years before Christ.
            fits = f"{cast} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31'"
            fits += f" AND {cast}::VARCHAR = {source}"
            utc = in_utc(cast, self.config.time_zone)
            return QuickCast(f"TRY_CAST({source} AS TIMESTAMP)", fits, utc)
        return None

    @cached_property
    def as_it_came(self) -> str | None:
        """When a text is its own value and keeps every rule; None where that takes a closer look.

        A row of which all texts do is looked at once, and not text by text for each rule.
        """
        source, config = self.source, self.config
        if self.source_type != "VARCHAR" or not self.is_text:
            return None
        if self.name == "status":
            if config.status_map or self.words:
                return None
            fits = f"{source} IN ({', '.join(map(literal, STATUSES))})"
        else:
            fits = PLAINLY_TRIMMED.format(source)
            if self.may_hold_nul:
                fits += f" AND NOT contains({source}, chr(0))"
            if self.is_id:
                fits += f" AND NOT contains({source}, 'E+')"
            if not self.name.endswith("_name"):
                fits = f"CASE WHEN {CODE.format(source)} THEN true ELSE {fits} END"
            fits += f" AND strlen({source}) BETWEEN 1 AND {MAX_BYTES}"
            if self.name.endswith("_id"):
                fits += f" AND {source} <> '{UNKNOWN_MEMBER}'"
            for rule, _ in self._rules(source):
                fits += f" AND {rule}"
            if self.is_id:
                fits += f" AND NOT ends_with({source}, '.0')"
            if self.words:
                # Most texts are longer than these words.
                most = max(len(word.encode()) for word in self.words)
                other = f"NOT {_among(source, self.words)}"
                fits += f" AND CASE WHEN strlen({source}) > {most} THEN true ELSE {other} END"
        return f"({source} IS NULL OR {fits})" if self.nullable else fits

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Conditions under which the row is rejected, each with the reason."""
        value = self.value
        present = present_text(self.source, self.source_type, self.type, self.words)
        found = []
        # CASE looks at the text again only where there is no value.
        if not self.nullable:
            found.append((f"CASE WHEN {value} IS NULL THEN ({present}) IS NULL END", "missing"))
        if not self.is_text:
            text = bare(f"({present})::VARCHAR", self.config)
            looks = misfits(self.type, self.config)
            if self.name == "quantity" and isinstance(self.type, dt.Integer):
                point = re.escape(self.config.decimal)
                looks.append((f"^[+-]?[0-9]*{point}[0-9]*[1-9]", FRACTION))
            for pattern, reason in looks:
                rule = f"regexp_matches({text}, {literal(pattern)})"
                found.append((f"CASE WHEN {value} IS NULL THEN {rule} END", reason))
            others = "".join(f" AND NOT regexp_matches({text}, {literal(p)})" for p, _ in looks)
            rule = f"CASE WHEN {value} IS NULL THEN ({present}) IS NOT NULL{others} END"
            found.append((rule, misfit(self.type, self.config)))
        else:
            if self.may_hold_nul:
                found.append((f"contains({value}, chr(0))", "a NUL byte"))
            found.append((f"strlen({value}) > {MAX_BYTES}", f"longer than {MAX_BYTES:,} bytes"))
        if self.is_id:
            found.append((f"regexp_full_match({value}, '{SCIENTIFIC}')", LOST_DIGITS))
        for rule, reason in self._rules(value):
            found.append((f"{value} IS NOT NULL AND NOT ({rule})", reason))
        if self.name.endswith("_id"):
            found.append((f"{value} = '{UNKNOWN_MEMBER}'", "a reserved word of the warehouse"))
        return [(rule, f"{self.name}: {reason}") for rule, reason in found]

    @property
    def sound(self) -> list[str]:
        """Conditions that are all true where there is no reason, and cost less to ask."""
        value, found = self.value, []
        if not self.nullable:
            found.append(f"{value} IS NOT NULL")
        elif not self.is_text:
            empty = f" OR {self.source} = ''" if self.source_type == "VARCHAR" else ""
            found.append(f"({value} IS NOT NULL OR {self.source} IS NULL{empty})")
        if self.is_text:
            if self.may_hold_nul:
                found.append(f"({value} IS NULL OR NOT contains({value}, chr(0)))")
            found.append(f"({value} IS NULL OR NOT strlen({value}) > {MAX_BYTES})")
        found += [f"({value} IS NULL OR {rule})" for rule, _ in self._rules(value)]
        if self.name.endswith("_id"):
            found.append(f"({value} IS NULL OR {value} <> '{UNKNOWN_MEMBER}')")
        if self.is_id:
            found.append(f"({value} IS NULL OR NOT contains({value}, 'E+'))")
        return found

    @property
    def notes(self) -> list[tuple[str, str, str]]:
        """What a load counts of identifiers that are not as they came: kind, condition, value."""
        if not self.is_id:
            return []
        value, source = self.value, self.source
        text = f"trim({source}, {WHITE_SPACE})"
        notes = [("missing", f"{value} IS NULL AND {_among(text, NOBODY)}", text)]
        if self.name == "customer_id" and self.config.customer_key == "email":
            return notes  # a code is no longer what it was made of
        return [
            ("trimmed", f"{value} IS NOT NULL AND {text} <> {source}", value),
            ("whole", f"{value} IS NOT NULL AND {text} <> {value}", value),
            *notes,
        ]

    def _text(self) -> str:
        source, config = self.source, self.config
        text = quickly_present_text(source, self.source_type, self.type, self.words)
        if self.is_id:
            whole = f"regexp_replace({text}, '^([0-9]+)\\.0$', '\\1')"
            text = f"CASE WHEN contains({source}, '.0') THEN {whole} ELSE {text} END"
        if self.source_type != "VARCHAR":
            text = f"({text})::VARCHAR"
        if self.name != "status":
            return text
        if self.source_type == "VARCHAR" and not self.words and not config.status_map:
            ours = ", ".join(map(literal, STATUSES))
            return f"CASE WHEN {source} IN ({ours}) THEN {source} ELSE lower({text}) END"
        cases = "".join(
            f" WHEN {literal(theirs.lower())} THEN {literal(ours)}"
            for theirs, ours in config.status_map.items()
        )
        return f"CASE lower({text}){cases} ELSE lower({text}) END" if cases else f"lower({text})"

    def _read(self) -> str:
        given = (self.source_type, self.type, self.config)
        missing = (self.source_type, self.type, self.words)
        # Most values need no trimming and are read as they came. A word for a missing value may be
        # a number too.
        if self.source_type != "VARCHAR" or _has_numbers(self.words):
            return read_as(f"({quickly_present_text(self.source, *missing)})", *given)
        present = present_text(self.source, *missing)
        # The text has a name here: its form is asked for many times.
        other = f"list_transform([{present}], lambda text_: {read_as('text_', *given)})[1]"
        return f"coalesce({read_as(self.source, *given, common=True)}, {other})"

    def _rules(self, value: str) -> list[tuple[str, str]]:
        """The value checks of the table's model as row rules: (SQL condition, reason)."""
        rules = []
        for check in self.declared.checks:
            if check.name == "isin":
                allowed = sorted(check.statistics["allowed_values"])
                listed = ", ".join(map(literal, allowed))
                rules.append((f"{value} IN ({listed})", f"none of {', '.join(allowed)}"))
            elif check.name == "greater_than_or_equal_to":
                least = check.statistics["min_value"]
                rules.append((f"{value} >= {least}", f"less than {least}"))
            else:
                raise NotImplementedError(f"no row rule for the check {check.name}")
        return rules


def present_text(
    source: str, source_type: str, type_: dt.DataType, words: Sequence[str] = (), trimmed: str = ""
) -> str:
    """The column as it came, trimmed, with NULL for what stands for a missing value."""
    if source_type != "VARCHAR":
        # An identifier that a frame with gaps has turned into a float is none with a `.0`.
        if isinstance(type_, dt.String) and source_type in ("FLOAT", "DOUBLE"):
            return (
                f"CASE WHEN {source} = trunc({source}) AND abs({source}) < 1e15 "
                f"THEN TRY_CAST({source} AS BIGINT)::VARCHAR "
                f"ELSE nullif({source}::VARCHAR, 'nan') END"
            )
        return source
    text = trimmed or f"nullif(trim({source}, {WHITE_SPACE}), '')"
    if not words:
        return text
    return f"CASE WHEN {_among(text, words)} THEN NULL ELSE {text} END"


def quickly_present_text(
    source: str, source_type: str, type_: dt.DataType, words: Sequence[str]
) -> str:
    """The same, in more words and less time: for what is asked of every row."""
    trimmed = (
        f"CASE WHEN {PLAINLY_TRIMMED.format(source)} THEN {source} "
        f"WHEN {TRIMMED.format(source)} THEN {source} "
        f"ELSE nullif(trim({source}, {WHITE_SPACE}), '') END"
    )
    return present_text(source, source_type, type_, words, trimmed)


def _among(text: str, words: Sequence[str]) -> str:
    """SQL whether a text is one of some words, in any case.

    Of a longer IN, DuckDB makes a join, for all rows.
    """
    pattern = "|".join(re.escape(word.lower()) for word in words)
    return f"regexp_full_match(lower({text}), {literal(pattern)})"


def _has_numbers(words: Sequence[str]) -> bool:
    """Whether a word for a missing value may be read as a number."""
    return any(re.search("[0-9]", word) for word in words)
