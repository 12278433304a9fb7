"""The report of a look at a source, for a terminal.

Belongs here: what a look saw, and the words for it. Does not belong here: looking (`check`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from analytics_assets.sources.findings import Finding, yaml_line


@dataclass(frozen=True)
class ColumnReport:
    """A column of the contract: its source, and what its values became."""

    name: str
    source: str | None
    required: bool
    filled: int
    samples: tuple[str, ...]


@dataclass(frozen=True)
class SourceReport:
    """What a look at a source found.

    Attributes:
        source: its name.
        place: where it lies.
        found: what lies there, in words.
        part: what part of it was looked at, in words; empty for all of it.
        rows: rows that were looked at.
        rejected: those of them that would be rejected.
        reasons: rejected rows by reason.
        examples: of each column, some values that would be rejected.
        span: first and last time, where the source has times.
        columns: how each column of the contract maps.
        warnings: what does not stop a load.
        findings: what the rows give away, as they are read with `words`.
        problem: why the source cannot be loaded; None where it can.
        proposal: our column to the source's, for columns that were recognised.
        words: words of the configuration that read rejected values.
        undecided: what the values do not decide about those words.
        still: rows that would be rejected with these words; None where it was not tried.
    """

    source: str
    place: str
    found: str = ""
    part: str = ""
    rows: int = 0
    rejected: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    span: tuple[str, str] | None = None
    columns: tuple[ColumnReport, ...] = ()
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    proposal: tuple[tuple[str, str], ...] = ()
    words: tuple[tuple[str, Any], ...] = ()
    undecided: tuple[str, ...] = ()
    still: int | None = None


def in_words(report: SourceReport) -> Iterator[str]:
    """The report as lines for a terminal."""
    state = "cannot be loaded" if report.problem else "can be loaded"
    yield f"{report.source}: {state}"
    yield f"  place     {report.place}"
    if report.found:
        yield f"  found     {report.found}"
    if report.part:
        yield f"  part      {report.part}"
    if report.columns:
        yield f"  rows      {report.rows:,}, of which {report.rejected:,} would be rejected"
    if report.span:
        yield f"  times     {report.span[0]} to {report.span[1]} (UTC)"
    for why, rows in report.reasons:
        yield f"            {rows:>9,}  {why}"
    for name, values in report.examples:
        yield f"  rejected  {name}: {values}"
    if report.columns:
        yield f"  {'column':<18}{'from':<22}{'filled':>9}  values"
    for column in report.columns:
        source = column.source or ("MISSING" if column.required else "-")
        share = f"{column.filled / report.rows:.0%}" if report.rows else ""
        yield f"  {column.name:<18}{source:<22.21}{share:>9}  {', '.join(column.samples):.60}"
    for warning in report.warnings:
        yield f"  warning   {warning}"
    if report.problem:
        yield f"  PROBLEM   {report.problem}"
    if report.words:
        yield "  To read what is rejected, write:"
        yield f"    {report.source}:"
        yield from (f"      {yaml_line(word, value)}" for word, value in report.words)
        yield from (f"      # {said}" for said in report.undecided)
        yield f"    Then {report.still or 0:,} of {report.rows:,} rows would be rejected."
    for finding in report.findings:
        yield f"  look at   {finding.sentence}{':' if finding.line else ''}"
        if finding.line:
            yield f"            {finding.line}{'   # at the top' if finding.top else ''}"
    if report.proposal:
        yield "  These columns look like ours; if they are, add:"
        yield from itertools.chain(
            [f"    {report.source}:", "      columns:"],
            (f"        {ours}: {theirs}" for ours, theirs in report.proposal),
        )
