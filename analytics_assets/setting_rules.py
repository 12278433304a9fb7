"""What the value of a setting may be, and the sentence for one that may not.

Belongs here: a rule for each kind of value. Does not belong here: the settings (`settings`).
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import available_timezones

from analytics_assets.addresses import address_problem

# What a failure of each family of checks does. dbt: the tests of the dbt project.
CHECK_POLICIES = {
    **dict.fromkeys(("schema", "dbt", "accounting", "uniqueness", "integrity", "stream"), "block"),
    **dict.fromkeys(("validity", "anomalies", "volume", "freshness", "drift", "churn"), "warn"),
}
DEPLOYMENTS = ("dev", "staging", "production")
POLICIES = ("block", "warn", "off")
SMTP_SECURITY = ("starttls", "tls", "none")
LOG_FORMATS = ("text", "json")
STORAGES = ("sqlite", "postgres")


class SettingsError(ValueError):
    """A setting is missing or wrong; the message says which one and what to do."""


Rule = Callable[[str, str], Any]  # the value of a variable, from its name and text


class Setting(NamedTuple):
    """The properties of a setting besides the name and type of its field."""

    default: str | None  # text of the value where the variable is not set; None for no value
    meaning: str
    rule: Rule
    shown: str | None = None  # the default in words, where its text does not say it
    variable: str | None = None  # where it is not ANALYTICS_ and the name of the field
    dev_only: bool = False  # other deployments have no default
    secret: bool = False  # the value is never printed


def _rule(valid: Callable[[str], object], value: Callable[[str], Any], sentence: str) -> Rule:
    """A rule that raises an error with the sentence if a text is not valid."""

    def parse(name: str, text: str) -> Any:
        if not valid(text):
            raise SettingsError(sentence.format(name=name, text=text, path=_path(text)))
        return value(text)

    return parse


def whole(least: int) -> Rule:
    """A whole number."""
    return _rule(
        lambda text: text.isascii() and text.isdigit() and int(text) >= least,
        int,
        f"{{name}} is {{text!r}}; set it to a whole number from {least} up.",
    )


def one_of(words: Sequence[str]) -> Rule:
    """One of some words."""
    return _rule(
        lambda text: text in words,
        str,
        f"{{name}} is {{text!r}}; set it to one of {', '.join(words)}.",
    )


def number(most: float = float("inf")) -> Rule:
    """A number from 0 up."""
    limit = f"from 0 to {most:g}" if most < float("inf") else "from 0 up"
    return _rule(
        lambda text: re.fullmatch(r"\d*\.?\d+|\d+\.", text) and float(text) <= most,
        float,
        f"{{name}} is {{text!r}}; set it to a number {limit}, such as 0.5.",
    )


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()


def check_policies(name: str, text: str) -> dict[str, str]:
    """`anomalies=off, volume=block` over the defaults."""
    policies = dict(CHECK_POLICIES)
    for part in filter(None, (part.strip() for part in text.split(","))):
        family, _, policy = (word.strip() for word in part.partition("="))
        if family not in policies or policy not in POLICIES:
            raise SettingsError(
                f"{name} has {part!r}; write family=policy, separated by commas, with a family of "
                f"{', '.join(policies)} and a policy of {', '.join(POLICIES)}."
            )
        policies[family] = policy
    return policies


TEXT = _rule(lambda text: True, str, "")
DEPLOYMENT = one_of(DEPLOYMENTS)
FOLDER = _rule(lambda text: True, _path, "")
SOURCES = _rule(
    lambda text: _path(text).is_file(),
    _path,
    "{name} names {path}, which is no file. Set it to the YAML file that describes your sources, "
    "or unset it in dev to use the generated sample.",
)
DBT_PROJECT = _rule(
    lambda text: (_path(text) / "dbt_project.yml").is_file(),
    _path,
    "No dbt_project.yml in {path}. Run from a checkout of the project, or set {name} to its "
    "dbt_project folder.",
)
MEMORY = _rule(
    lambda text: re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text),
    str,
    "{name} is {text!r}; write a number and a unit, such as 2GB.",
)


def mlflow_address(name: str, text: str) -> str:
    """The address of an MLflow server."""
    if "://" not in text:
        raise SettingsError(
            f"{name} has no ://; set it to the address of an MLflow server, such as "
            "https://mlflow.example.com, or unset it to keep models in ANALYTICS_HOME."
        )
    if problem := address_problem(text):
        raise SettingsError(f"{name} {problem}")
    return text


WEBHOOK = _rule(
    lambda text: text.startswith(("http://", "https://")),
    str,
    "{name} does not start with http:// or https://; set it to the address of the webhook, or "
    "unset it.",
)
POSTGRES = _rule(
    lambda text: text.startswith(("postgresql://", "postgres://")),
    str,
    "{name} does not start with postgresql://; set it to the address of a database, such as "
    "postgresql://user@db.example.com/shop.",
)
DASHBOARDS = _rule(
    lambda text: text.startswith(("http://", "https://")),
    lambda text: text.rstrip("/"),
    "{name} does not start with http:// or https://; set it to the address of the dashboards, or "
    "leave it out.",
)
UI = _rule(
    lambda text: text.startswith(("http://", "https://")),
    lambda text: text.rstrip("/"),
    "{name} does not start with http:// or https://; set it to the address of the Dagster UI.",
)
SMTP_HOST = _rule(
    lambda text: re.fullmatch(r"[\w.-]+(:\d+)?", text),
    str,
    "{name} is no host; write its name and, unless it is the usual one, its port, such as "
    "mail.example.com:587. User and password have settings of their own.",
)
SECURITY = one_of(SMTP_SECURITY)
LOG_FORMAT = one_of(LOG_FORMATS)
STORAGE = one_of(STORAGES)
# A folder is where the server's socket is.
POSTGRES_HOST = _rule(
    lambda text: re.fullmatch(r"[\w.-]+|[0-9a-fA-F:]+|/[\w./-]+", text),
    str,
    "{name} is no host; write its name alone, such as db.example.com. Port, user, password and "
    "database have settings of their own.",
)
E_MAILS = _rule(
    lambda text: all("@" in part for part in text.split(",")),
    lambda text: tuple(part.strip() for part in text.split(",")),
    "{name} is {text!r}; write e-mail addresses, separated by commas.",
)
ORIGINS = _rule(
    lambda text: all(
        re.fullmatch(r"https?://[\w.-]+(:\d+)?", part.strip()) for part in text.split(",")
    ),
    lambda text: tuple(part.strip() for part in text.split(",")),
    "{name} is {text!r}; write origins of web pages, separated by commas, such as "
    "https://shop.example.com.",
)
JWKS = _rule(
    lambda text: (
        re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", text)
        if "://" in text
        else _path(text).is_file()
    ),
    lambda text: text if "://" in text else str(_path(text)),
    "{name} is neither a file nor an address that begins with https://; set it to the jwks_uri of "
    "your identity provider, or to a file of its keys.",
)
SWITCH = _rule(
    lambda text: text in ("on", "off"),
    lambda text: text == "on",
    "{name} is {text!r}; set it to on or off.",
)
ZONE = _rule(
    lambda text: text in available_timezones(),
    str,
    "{name} is {text!r}; set it to a time zone, such as Europe/Berlin, or unset it.",
)
_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # minute, hour, day, month, weekday


def _is_cron(text: str) -> bool:
    """Whether a text is a time in cron's five fields: numbers, lists, ranges and steps."""
    fields = text.split()
    return len(fields) == len(_CRON_FIELDS) and all(
        (match := re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part))
        and least <= int(match[1] or least) <= int(match[2] or match[1] or most) <= most
        for field, (least, most) in zip(fields, _CRON_FIELDS, strict=True)
        for part in field.split(",")
    )


CRON = _rule(
    _is_cron,
    lambda text: " ".join(text.split()),
    "{name} is {text!r}; write minute, hour, day, month and weekday as cron does, such as "
    "0 2 * * * for 02:00 each day.",
)
LAKE = _rule(
    lambda text: True,
    lambda text: text.rstrip("/") if "://" in text else str(_path(text)),
    "",
)
SERVERS = _rule(
    lambda text: all(re.fullmatch(r"[\w.-]+:\d+", part.strip()) for part in text.split(",")),
    str,
    "{name} is {text!r}; write brokers as host:port, separated by commas.",
)
NAMES = _rule(
    lambda text: all(re.fullmatch(r"[\w.-]+", part.strip()) for part in text.split(",")),
    lambda text: tuple(part.strip() for part in text.split(",")),
    "{name} is {text!r}; write names of topics, separated by commas.",
)
A_FILE = _rule(
    lambda text: _path(text).is_file(), _path, "{name} names {path}, which is no file. Correct it."
)
REDIS = _rule(
    lambda text: text.startswith(("redis://", "rediss://", "unix://")),
    str,
    "{name} does not start with redis://, rediss:// or unix://; set it to the address of Redis.",
)
