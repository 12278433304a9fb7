"""Money in one currency: converted during the load, and never added up in several.

Belongs here: the SQL of rates and of converted money, and the error for a missing rate. Does not
belong here: reading rates from the configuration (`rates`).
"""

from collections.abc import Collection

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import shops_day
from analytics_assets.sources.config import Currency, SourceConfig
from analytics_assets.sources.readers.base import SourceError

RATE = "DECIMAL(18, 10)"
# The product of two short decimals is a short one in DuckDB, and an error where it overflows.
WIDE = "DECIMAL(38, 4)"


def converted(config: SourceConfig, names: Collection[str]) -> dict[str, str]:
    """SQL of the columns of a typed row `v`, with its money in the reporting currency.

    A row without a currency is in that one. A row without a rate is not converted: `require_rates`
    refuses the load.
    """
    assert config.currency is not None
    day = shops_day(f"v.{identifier(str(config.contract.time_column))}", config)
    values = {name: f"v.{identifier(name)}" for name in names}
    for name in names:
        if isinstance(config.contract.declared(name).dtype.type, dt.Decimal) and name != "quantity":
            type_ = config.contract.table.sql_types[config.contract.door.get(name, name)]
            rate = _rate(config.currency, "v.currency", day)
            values[name] = (
                f"CASE WHEN v.currency IS NULL OR v.currency = {literal(config.currency.reporting)}"
                f" THEN {values[name]} "
                f"ELSE TRY_CAST({values[name]}::{WIDE} * coalesce({rate}, 1) AS {type_}) END"
            )
    return values


def require_rates(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> None:
    """Refuse amounts of several currencies, in this load or together with earlier ones.

    Raises:
        SourceError: there is money in a second currency, and no rate for it.
    """
    table = config.contract.table
    if "currency" not in table.columns:
        return
    codes = [
        code
        for (code,) in connection.execute(
            f"SELECT DISTINCT currency FROM {table.relation} WHERE currency IS NOT NULL ORDER BY 1"
        ).fetchall()
    ]
    if config.currency is None:
        if len(codes) > 1:
            others = ", ".join(f"{code}: ..." for code in codes[1:5])
            raise SourceError(
                f"{config.source}: amounts are in {' and '.join(codes[:5])}. Amounts of several "
                "currencies are never added: say what a unit of the others is worth, with "
                f"`currency: {{reporting: {codes[0]}, rates: {{{others}}}}}` at the top of the "
                "source configuration, or load the orders of one currency only. Nothing was loaded."
            )
        return
    reporting = config.currency.reporting
    rate = _rate(config.currency, "currency", str(table.window_column))
    without = connection.execute(
        f"SELECT currency, min({table.window_column}), count(*) FROM {table.relation} "
        f"WHERE currency <> {literal(reporting)} AND NOT is_refund AND {rate} IS NULL "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if without:
        code, day, lines = without[0]
        raise SourceError(
            f"{config.source}: {lines:,} lines are in {code}, and there is no rate from {code} to "
            f"{reporting} on {day}. Add it to `rates`, or to the file of `rates_file`, in "
            "`currency` of the source configuration. Nothing was loaded."
        )


def _rate(currency: Currency, code: str, day: str) -> str:
    """SQL of the newest rate on or before a day; NULL where there is none."""
    cases = []
    for name in dict.fromkeys(rate.code for rate in currency.rates):
        dated = sorted(
            (str(rate.day), rate.rate)
            for rate in currency.rates
            if rate.code == name and rate.day is not None
        )
        fixed = [rate.rate for rate in currency.rates if rate.code == name and rate.day is None]
        value = f"{fixed[0]}::{RATE}" if fixed else f"NULL::{RATE}"
        if dated:
            days = ", ".join(f"DATE '{from_}'" for from_, _ in dated)
            rates = ", ".join(f"{rate}::{RATE}" for _, rate in dated)
            # The days are sorted: the number of past ones is the position of the newest.
            past = f"len(list_filter([{days}], lambda from_: from_ <= {day}))"
            value = f"coalesce(([{rates}])[{past}], {value})"
        cases.append(f"WHEN {literal(name)} THEN {value}")
    return f"CASE {code} {' '.join(cases)} END" if cases else f"NULL::{RATE}"
