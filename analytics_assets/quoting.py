"""Quoting: names and texts as SQL writes them, and texts as a spreadsheet takes them for texts."""

FORMULA = "=+-@\t\r\n"  # and full-width forms of the first four, which some programs convert
FORMULA_WIDE = "＝＋－＠"  # noqa: RUF001


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A text as SQL writes it; of another value, its text."""
    return "'" + str(text).replace("'", "''") + "'"


def without_formula(text: str) -> str:
    """A text with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(tuple(FORMULA + FORMULA_WIDE)) else text
