"""Quoting: names and texts as SQL writes them."""


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A text as SQL writes it; of another value, its text."""
    return "'" + str(text).replace("'", "''") + "'"
