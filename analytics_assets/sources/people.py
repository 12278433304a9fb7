"""Personal data in columns that are not declared personal.

Belongs here: what values look like, and the columns of a source that have such values. Does not
belong here: what a column is declared to be (`schemas`).

A value is personal if it is one, or has one in it: an e-mail address, an international telephone
number, a card number with its check digit, an IBAN, an IP address of the internet, a postal code, a
name. Names and postal codes are believed only where the source's own name of the column says so:
"Paul Smith" may be a brand, and 10115 a number of anything.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas.base import PERSONAL
from analytics_assets.sources.config import SourceConfig

# Distinct values of a column that are looked at more closely, of those that may be one of a kind.
LOOKED_AT = 1_000
EMAIL = re.compile(r"[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.IGNORECASE)
CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w.-])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[0-9A-Z]{2,4}){3,8}\b")
ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})"
                     r"(?![\w.:])", re.IGNORECASE)  # fmt: skip
# Digits with a prefix or a suffix as in many countries, of the United Kingdom, and of Canada.
POSTAL = re.compile(
    r"(?:[A-Z]{1,2}-)?\d{4,6}(?:[ -]?(?:\d{3,4}|[A-Z]{2}))?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|"
    r"[A-Z]\d[A-Z] ?\d[A-Z]\d",
    re.IGNORECASE,
)
NAME = re.compile(r"[^\W\d_][\w'\u2019.-]*(?:[ ,]+[^\W\d_][\w'\u2019.-]*){0,4}")
# Parts of the names that sources give to columns.
SAYS_NAME = re.compile(
    r"(first|last|full|sur|given|family|middle|customer|client|buyer|billing|shipping|contact|"
    r"recipient|member|user)_?name|vorname|nachname|kundenname|prenom|apellidos?|cognome|"
    r"^nom(_client)?$|^nombre$|^(customer|buyer|client|recipient)$"
)
SAYS_POSTAL = re.compile(r"zip(_?code)?(_|$)|post(al)?_?code|^plz|_plz|code_postal|^cap$|^cep$")


def _email(value: str) -> bool:
    return EMAIL.search(value) is not None


def _phone(value: str) -> bool:
    from phonenumbers import PhoneNumberMatcher

    return "+" in value and any(True for _ in PhoneNumberMatcher(value, None))


def _dialled(value: str) -> bool:
    return _phone(re.sub(r"\b00(?=[1-9])", "+", value))


def _card(value: str) -> bool:
    from stdnum import luhn

    return any(
        13 <= len(digits) <= 19 and len({*digits}) > 1 and luhn.is_valid(digits)
        for digits in (re.sub(r"\D", "", found) for found in CARD.findall(value))
    )


def _grouped_card(value: str) -> bool:
    return re.search(r"\d[ -]\d", value) is not None and _card(value)


def _iban(value: str) -> bool:
    from stdnum import iban

    return any(iban.is_valid(found) for found in IBAN.findall(value.upper()))


def _ip(value: str) -> bool:
    for found in ADDRESS.findall(value):
        try:
            if ipaddress.ip_address(found).is_global:
                return True
        except ValueError:
            pass
    return False


def _name(value: str) -> bool:
    return NAME.fullmatch(value.strip()) is not None


def _postal(value: str) -> bool:
    return POSTAL.fullmatch(value.strip()) is not None


@dataclass(frozen=True)
class Kind:
    """A kind of personal data.

    Attributes:
        words: its name, in the plural.
        is_one: whether a value is one, or has one in it.
        may_be: regular expression of DuckDB for the values that are looked at more closely.
        share: the share of a column's distinct values above which it has them; 0 for any value.
        column: the source's name of the column must have this in it.
    """

    words: str
    is_one: Callable[[str], bool]
    may_be: str
    share: float = 0.0
    column: re.Pattern[str] | None = None


# Every tenth number passes the check of a card number. A number with zeros in front may be one of a
# telephone, and a version an IP address.
KINDS = (
    Kind("e-mail addresses", _email, r"@|%40"),
    Kind("telephone numbers", _phone, r"\+[0-9]"),
    Kind("telephone numbers", _dialled, r"\b00[1-9]", share=0.5),
    Kind("card numbers", _grouped_card, r"[2-6][0-9]{3}[ -][0-9]{4}"),
    Kind("card numbers", _card, r"[2-6][0-9]{12}", share=0.5),
    Kind("IBANs", _iban, r"(?i)\b[a-z]{2}[0-9]{2}"),
    Kind("IP addresses", _ip, r"(?i)[0-9]+\.[0-9]+\.[0-9]+\.[0-9]|:[0-9a-f]*:", share=0.5),
    Kind("names", _name, r"\w", share=0.5, column=SAYS_NAME),
    Kind("postal codes", _postal, r"[0-9]", share=0.5, column=SAYS_POSTAL),
)


def kinds_of(values: Sequence[str], column: str, distinct: int | None = None) -> list[str]:
    """The kinds of personal data in the values of a column.

    Args:
        values: distinct values.
        column: the source's own name of the column.
        distinct: how many distinct values it has, where `values` are only some that may be of a
            kind.
    """
    kinds = []
    for kind in KINDS:
        if kind.column and not kind.column.search(_plain(column)):
            continue
        found = sum(map(kind.is_one, values))
        if found and found >= kind.share * max(len(values), min(distinct or 0, LOOKED_AT)):
            kinds.append(kind.words)
    return [*dict.fromkeys(kinds)]


def _plain(column: str) -> str:
    """A name of a column in lower case, with a low line between its words."""
    return re.sub(r"\W+|(?<=[a-z])(?=[A-Z])", "_", column.strip()).lower()


def undeclared(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig
) -> Iterator[tuple[str, list[str]]]:
    """The columns that have personal data and are not declared personal, and the kinds of it.

    Args:
        connection: has the view of what a load would write.
        config: the source.
    """
    table = config.contract.table
    maybe = literal("|".join(f"({kind.may_be})" for kind in KINDS if not kind.column))
    for name in config.contract.columns:
        if table.sql_types[name] != "TEXT" or table.person_classes.get(name) == PERSONAL:
            continue
        source = config.source_names.get(name, name)
        says = any(kind.column and kind.column.search(_plain(source)) for kind in KINDS)
        # The order of hashes is that of no producer, and the same each time.
        rows = connection.execute(
            f"SELECT value, distinct_values FROM ("
            f"SELECT {identifier(name)} AS value, count(*) OVER () AS distinct_values "
            f"FROM {table.relation} WHERE {identifier(name)} IS NOT NULL GROUP BY 1) "
            f"WHERE {'true' if says else f'regexp_matches(value, {maybe})'} "
            f"ORDER BY hash(value), value LIMIT {LOOKED_AT}"
        ).fetchall()
        if not rows:
            continue
        kinds = kinds_of([value for value, _ in rows], source, rows[0][1])
        if kinds:
            yield name, kinds
