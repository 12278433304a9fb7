"""One column of a source, cast to the contract's type.

Belongs here: the SQL of its value, and the rules for the value. Does not belong here: the forms of
texts and numbers (`casts`), or whole rows (`typed`).

In the SQL, `s` is the source's row, `c` has the quick casts, and `v` is the typed row.
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
# How Excel writes long numbers.
SCIENTIFIC = "[0-9](\\.[0-9]+)?E\\+[0-9]+"
LOST_DIGITS = "in scientific notation: the export has lost digits"
MAX_BYTES = 1_000_000
# Staging strips the same: an identifier of nothing else has to be missing here already.
WHITE_SPACE = "' \t\v\f\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff'"
# Trimming, or checking whether it is needed, costs more than reading. Most texts are ASCII without
# blanks at the ends; of the others, those with visible ASCII at both ends need no trimming either.
PLAINLY_TRIMMED = "{0} BETWEEN '!' AND '~' AND strlen({0}) = length({0}) AND reverse({0}) >= '!'"
# Only letters, digits and `-._~`, as in most codes: one test shows that no trimming is needed.
CODE = "url_encode({0}) = {0}"
TRIMMED = """{0} GLOB '["-~]*' AND {0} GLOB '*["-~]'"""


@dataclass(frozen=True)
class QuickCast:
    """A shortcut for text in the form in which DuckDB itself writes the type.

    If the cast value, written as text, is the same text, the cast was right; comparing costs a
    fraction of matching. Decimals that are zeros may be left out.

    Attributes:
        cast: SQL of the cast.
        fits: SQL condition under which it is right.
        value: SQL of the value then.
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
        source_type: its DuckDB type. VARCHAR is text that is matched and cast.
        declared: the column as the table's model declares it.
        config: the source.
        may_hold_nul: whether texts may contain a NUL byte.
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
    def null_words(self) -> tuple[str, ...]:
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
        """SQL that casts the value, the quickest way first; NULL where it does not fit."""
        typed = self._text() if self.is_text else self._read()
        if self.quick:
            typed = f"CASE WHEN {self.quick.fits} THEN {self.quick.value} ELSE {typed} END"
        if self.as_it_came:
            typed = f"CASE WHEN c._plain THEN {self.source} ELSE {typed} END"
        return typed

    @cached_property
    def quick(self) -> QuickCast | None:
        """The quick cast; None where the configuration declares other forms."""
        if self.source_type != "VARCHAR" or _has_numbers(self.null_words):
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
        """SQL condition that a text is stored as it is and breaks no rule; None if not quick.

        Where it is true for all texts of a row, the rules of the single texts are not evaluated.
        """
        source, config = self.source, self.config
        if self.source_type != "VARCHAR" or not self.is_text:
            return None
        if self.name == "status":
            if config.status_map or self.null_words:
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
            if self.null_words:
                # Most texts are longer than the null words.
                most = max(len(word.encode()) for word in self.null_words)
                other = f"NOT {_among(source, self.null_words)}"
                fits += f" AND CASE WHEN strlen({source}) > {most} THEN true ELSE {other} END"
        return f"({source} IS NULL OR {fits})" if self.nullable else fits

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Conditions under which the row is rejected, each with the reason."""
        value = self.value
        present = present_text(self.source, self.source_type, self.type, self.null_words)
        rules = []
        # CASE evaluates the text again only where there is no value.
        if not self.nullable:
            rules.append((f"CASE WHEN {value} IS NULL THEN ({present}) IS NULL END", "missing"))
        if not self.is_text:
            text = bare(f"({present})::VARCHAR", self.config)
            forms = misfits(self.type, self.config)
            if self.name == "quantity" and isinstance(self.type, dt.Integer):
                point = re.escape(self.config.decimal)
                forms.append((f"^[+-]?[0-9]*{point}[0-9]*[1-9]", FRACTION))
            for pattern, reason in forms:
                rule = f"regexp_matches({text}, {literal(pattern)})"
                rules.append((f"CASE WHEN {value} IS NULL THEN {rule} END", reason))
            others = "".join(f" AND NOT regexp_matches({text}, {literal(p)})" for p, _ in forms)
            rule = f"CASE WHEN {value} IS NULL THEN ({present}) IS NOT NULL{others} END"
            rules.append((rule, misfit(self.type, self.config)))
        else:
            if self.may_hold_nul:
                rules.append((f"contains({value}, chr(0))", "a NUL byte"))
            rules.append((f"strlen({value}) > {MAX_BYTES}", f"longer than {MAX_BYTES:,} bytes"))
        if self.is_id:
            rules.append((f"regexp_full_match({value}, '{SCIENTIFIC}')", LOST_DIGITS))
        for rule, reason in self._rules(value):
            rules.append((f"{value} IS NOT NULL AND NOT ({rule})", reason))
        if self.name.endswith("_id"):
            rules.append((f"{value} = '{UNKNOWN_MEMBER}'", "a reserved word of the warehouse"))
        return [(rule, f"{self.name}: {reason}") for rule, reason in rules]

    @property
    def sound(self) -> list[str]:
        """Conditions that are cheaper than `reasons`: if all are true, the row has none of them."""
        value = self.value
        missing, present = [], [rule for rule, _ in self._rules(value)]
        if not self.nullable:
            missing.append(f"{value} IS NOT NULL")
        elif not self.is_text:
            empty = f" OR {self.source} = ''" if self.source_type == "VARCHAR" else ""
            missing.append(f"({value} IS NOT NULL OR {self.source} IS NULL{empty})")
        if self.is_text:
            if self.may_hold_nul:
                present.append(f"NOT contains({value}, chr(0))")
            present.append(f"NOT strlen({value}) > {MAX_BYTES}")
        if self.name.endswith("_id"):
            present.append(f"{value} <> '{UNKNOWN_MEMBER}'")
        if self.is_id:
            present.append(f"NOT contains({value}, 'E+')")
        return [*missing, *(f"({value} IS NULL OR {rule})" for rule in present)]

    @property
    def notes(self) -> list[tuple[str, str, str]]:
        """Changes to identifiers that a load counts: kind, SQL condition, SQL value."""
        if not self.is_id:
            return []
        value, source = self.value, self.source
        text = f"trim({source}, {WHITE_SPACE})"
        notes = [("missing", f"{value} IS NULL AND {_among(text, NOBODY)}", text)]
        if self.name == "customer_id" and self.config.customer_key == "email":
            return notes  # the value is a code, and not the address
        return [
            ("trimmed", f"{value} IS NOT NULL AND {text} <> {source}", value),
            ("whole", f"{value} IS NOT NULL AND {text} <> {value}", value),
            *notes,
        ]

    def _text(self) -> str:
        source, config = self.source, self.config
        text = quick_present_text(source, self.source_type, self.type, self.null_words)
        if self.is_id:
            whole = f"regexp_replace({text}, '^([0-9]+)\\.0$', '\\1')"
            text = f"CASE WHEN contains({source}, '.0') THEN {whole} ELSE {text} END"
        if self.source_type != "VARCHAR":
            text = f"({text})::VARCHAR"
        if self.name != "status":
            return text
        if self.source_type == "VARCHAR" and not self.null_words and not config.status_map:
            ours = ", ".join(map(literal, STATUSES))
            return f"CASE WHEN {source} IN ({ours}) THEN {source} ELSE lower({text}) END"
        cases = "".join(
            f" WHEN {literal(theirs.lower())} THEN {literal(ours)}"
            for theirs, ours in config.status_map.items()
        )
        return f"CASE lower({text}){cases} ELSE lower({text}) END" if cases else f"lower({text})"

    def _read(self) -> str:
        given = (self.source_type, self.type, self.config)
        missing = (self.source_type, self.type, self.null_words)
        # Most values need no trimming. A null word may be a number, too.
        if self.source_type != "VARCHAR" or _has_numbers(self.null_words):
            return read_as(f"({quick_present_text(self.source, *missing)})", *given)
        present = present_text(self.source, *missing)
        # The text gets a name, because its form is tested many times.
        other = f"list_transform([{present}], lambda text_: {read_as('text_', *given)})[1]"
        return f"coalesce({read_as(self.source, *given, common=True)}, {other})"

    def _rules(self, value: str) -> list[tuple[str, str]]:
        """The value checks of the table's model as row rules: SQL condition and reason."""
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
    source: str,
    source_type: str,
    type_: dt.DataType,
    null_words: Sequence[str] = (),
    trimmed: str = "",
) -> str:
    """SQL of the source's value, trimmed, and NULL for the empty text and for null words."""
    if source_type != "VARCHAR":
        # pandas turns whole numbers into floats where some are missing: no `.0` in an identifier.
        if isinstance(type_, dt.String) and source_type in ("FLOAT", "DOUBLE"):
            return (
                f"CASE WHEN {source} = trunc({source}) AND abs({source}) < 1e15 "
                f"THEN TRY_CAST({source} AS BIGINT)::VARCHAR "
                f"ELSE nullif({source}::VARCHAR, 'nan') END"
            )
        return source
    text = trimmed or f"nullif(trim({source}, {WHITE_SPACE}), '')"
    if not null_words:
        return text
    return f"CASE WHEN {_among(text, null_words)} THEN NULL ELSE {text} END"


def quick_present_text(
    source: str, source_type: str, type_: dt.DataType, null_words: Sequence[str]
) -> str:
    """The same as a longer and faster expression: for what is evaluated for every row."""
    trimmed = (
        f"CASE WHEN {PLAINLY_TRIMMED.format(source)} THEN {source} "
        f"WHEN {TRIMMED.format(source)} THEN {source} "
        f"ELSE nullif(trim({source}, {WHITE_SPACE}), '') END"
    )
    return present_text(source, source_type, type_, null_words, trimmed)


def _among(text: str, words: Sequence[str]) -> str:
    """SQL whether a text is one of some words, in any case.

    No IN: DuckDB turns a long one into a join over all rows.
    """
    pattern = "|".join(re.escape(word.lower()) for word in words)
    return f"regexp_full_match(lower({text}), {literal(pattern)})"


def _has_numbers(words: Sequence[str]) -> bool:
    """Whether a null word may be read as a number."""
    return any(re.search("[0-9]", word) for word in words)
