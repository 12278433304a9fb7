"""Addresses with a password in them, and secrets of the environment.

Belongs here: reading a secret from a variable or from a file, whether an address can be read as it
was meant, and taking its password out of a text. Does not belong here: what is at an address
(`sources.readers`, `churn.registry`).
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlsplit

FILE = "_FILE"  # NAME_FILE names a file that contains the value of NAME
HIDDEN = "..."


class SecretError(ValueError):
    """A secret cannot be read; the message says why and what to do."""


def secret(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """The value of a variable, or of the file that the variable with `_FILE` names.

    Files are how Docker and Kubernetes hand out secrets. The line break at their end is left out.

    Returns:
        The value; empty where neither is set.

    Raises:
        SecretError: both are set, or the file cannot be read.
    """
    env = os.environ if environment is None else environment
    value, name = env.get(variable, "").strip(), env.get(variable + FILE, "").strip()
    if not name:
        return value
    if value:
        raise SecretError(f"{variable} and {variable}{FILE} are both set. Unset one of them.")
    try:
        text = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SecretError(
            f"{variable}{FILE} names {name}, which cannot be read: {why}. Set it to the file that "
            f"contains the value of {variable}."
        ) from None
    if not text:
        raise SecretError(
            f"{variable}{FILE} names {name}, which is empty. Write the value of {variable} into it."
        )
    return text


def address_problem(address: str) -> str | None:
    """Why an address would be read otherwise than it was meant, and what to do; without its text.

    A password with a character that has a meaning in addresses cuts the address in the wrong
    place, and a driver then names the rest of the password as a host.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return None
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    user = authority.rpartition("@")[0]
    try:
        readable = urlsplit(address).port != 0
    except ValueError:  # no number as the port, or no address in brackets
        readable = False
    if (
        readable
        and "@" not in user
        and "@" not in tail
        and user.count(":") <= 1
        and not re.search(r"%(?![0-9A-Fa-f]{2})|\s|[\[\]]", user)
    ):
        return None
    return (
        f"is no readable address ({scheme if scheme.isalnum() else HIDDEN}://{HIDDEN}). If its "
        "password has characters such as @ / : # ? %, write them URL-encoded: @ is %40, / is %2F, "
        ": is %3A, # is %23, ? is %3F, % is %25."
    )


def without_password(text: str, address: str) -> str:
    """A text in which neither an address nor its password stands, in whatever form."""
    forms = {address}
    for password in _passwords(address):
        plain = unquote(password)
        forms |= {password, plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
        forms |= {repr(form)[1:-1] for form in (password, plain)}
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def has_password(address: str) -> bool:
    """Whether an address has a password in it."""
    return any(_passwords(address))


def _passwords(address: str) -> Iterator[str]:
    _, separator, rest = address.partition("://")
    if separator:
        # Up to the last @: the password may have some that are not encoded.
        yield rest.rpartition("@")[0].partition(":")[2]
        yield from re.findall(r"[?&]password=([^&]*)", rest)
    else:  # the other form that PostgreSQL reads: host=... password=...
        for quoted, plain in re.findall(r"password\s*=\s*(?:'((?:\\.|[^'])*)'|(\S+))", address):
            yield quoted or plain
