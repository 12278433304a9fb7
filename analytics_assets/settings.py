"""Every setting of the project, read from environment variables into one object.

Belongs here: each setting once (default, meaning, rule), and the resolver of the deployment. Does
not belong here: what a source looks like (`sources.config`) or thresholds of the business rules
(vars of the dbt project).
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DEPLOYMENTS = ("dev", "staging", "production")
# What a failure of each family of checks does. dbt: the tests of the dbt project.
CHECK_POLICIES = {
    **dict.fromkeys(("schema", "dbt", "accounting", "uniqueness", "integrity"), "block"),
    **dict.fromkeys(("validity", "anomalies", "volume", "freshness", "drift", "churn"), "warn"),
}
POLICIES = ("block", "warn", "off")
SMTP_SECURITY = ("starttls", "tls", "none")


class SettingsError(ValueError):
    """A setting is missing or wrong; the message says which one and what to do."""


Rule = Callable[[str, str], Any]  # the value of a variable, from its name and text


def _rule(valid: Callable[[str], object], value: Callable[[str], Any], sentence: str) -> Rule:
    """A rule that raises an error with the sentence if a text is not valid."""

    def parse(name: str, text: str) -> Any:
        if not valid(text):
            raise SettingsError(sentence.format(name=name, text=text, path=_path(text)))
        return value(text)

    return parse


def _whole(least: int) -> Rule:
    return _rule(
        lambda text: text.isascii() and text.isdigit() and int(text) >= least,
        int,
        f"{{name}} is {{text!r}}; set it to a whole number from {least} up.",
    )


def _number(most: float = float("inf")) -> Rule:
    limit = f"from 0 to {most:g}" if most < float("inf") else "from 0 up"
    return _rule(
        lambda text: re.fullmatch(r"\d*\.?\d+|\d+\.", text) and float(text) <= most,
        float,
        f"{{name}} is {{text!r}}; set it to a number {limit}, such as 0.5.",
    )


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()


def _check_policies(name: str, text: str) -> dict[str, str]:
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


_TEXT = _rule(lambda text: True, str, "")
_DEPLOYMENT = _rule(
    DEPLOYMENTS.__contains__,
    str,
    f"{{name}} is {{text!r}}; set it to one of {', '.join(DEPLOYMENTS)}.",
)
_FOLDER = _rule(lambda text: True, _path, "")
_SOURCES = _rule(
    lambda text: _path(text).is_file(),
    _path,
    "{name} names {path}, which is no file. Set it to the YAML file that describes your sources, "
    "or unset it in dev to use the generated sample.",
)
_DBT_PROJECT = _rule(
    lambda text: (_path(text) / "dbt_project.yml").is_file(),
    _path,
    "No dbt_project.yml in {path}. Run from a checkout of the project, or set {name} to its "
    "dbt_project folder.",
)
_MEMORY = _rule(
    lambda text: re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text),
    str,
    "{name} is {text!r}; write a number and a unit, such as 2GB.",
)
_MLFLOW = _rule(
    lambda text: "://" in text,
    str,
    "{name} has no ://; set it to the address of an MLflow server, such as "
    "https://mlflow.example.com, or unset it to keep models in ANALYTICS_HOME.",
)
_WEBHOOK = _rule(
    lambda text: text.startswith(("http://", "https://")),
    str,
    "{name} does not start with http:// or https://; set it to the address of the webhook, or "
    "unset it.",
)
_UI = _rule(
    lambda text: text.startswith(("http://", "https://")),
    lambda text: text.rstrip("/"),
    "{name} does not start with http:// or https://; set it to the address of the Dagster UI.",
)
_SMTP_HOST = _rule(
    lambda text: re.fullmatch(r"[\w.-]+(:\d+)?", text),
    str,
    "{name} is no host; write its name and, unless it is the usual one, its port, such as "
    "mail.example.com:587. User and password have settings of their own.",
)
_SMTP_SECURITY = _rule(
    lambda text: text in SMTP_SECURITY,
    str,
    f"{{name}} is {{text!r}}; set it to one of {', '.join(SMTP_SECURITY)}.",
)
_ADDRESSES = _rule(
    lambda text: all("@" in part for part in text.split(",")),
    lambda text: tuple(part.strip() for part in text.split(",")),
    "{name} is {text!r}; write e-mail addresses, separated by commas.",
)
_LAKE = _rule(
    lambda text: True,
    lambda text: text.rstrip("/") if "://" in text else str(_path(text)),
    "",
)
_SERVERS = _rule(
    lambda text: all(re.fullmatch(r"[\w.-]+:\d+", part.strip()) for part in text.split(",")),
    str,
    "{name} is {text!r}; write brokers as host:port, separated by commas.",
)
_NAMES = _rule(
    lambda text: all(re.fullmatch(r"[\w.-]+", part.strip()) for part in text.split(",")),
    lambda text: tuple(part.strip() for part in text.split(",")),
    "{name} is {text!r}; write names of topics, separated by commas.",
)
_FILE = _rule(
    lambda text: _path(text).is_file(), _path, "{name} names {path}, which is no file. Correct it."
)
_REDIS = _rule(
    lambda text: text.startswith(("redis://", "rediss://", "unix://")),
    str,
    "{name} does not start with redis://, rediss:// or unix://; set it to the address of Redis.",
)
# What is of no use without the others.
TOGETHER = (
    ("ANALYTICS_SLACK_TOKEN", "ANALYTICS_SLACK_CHANNEL"),
    ("ANALYTICS_SMTP_HOST", "ANALYTICS_EMAIL_FROM", "ANALYTICS_EMAIL_TO"),
    ("ANALYTICS_SMTP_USER", "ANALYTICS_SMTP_PASSWORD"),
)


class Setting(NamedTuple):
    """The properties of a setting besides the name and type of its field."""

    default: str | None  # text of the value where the variable is not set; None for no value
    meaning: str
    rule: Rule
    shown: str | None = None  # the default in words, where its text does not say it
    variable: str | None = None  # where it is not ANALYTICS_ and the name of the field
    dev_only: bool = False  # other deployments have no default
    secret: bool = False  # the value is never printed


@dataclass(frozen=True)
class Settings:
    """All settings. Paths are absolute."""

    deployment: Annotated[str, Setting("dev", "dev, staging or production", _DEPLOYMENT)]
    home: Annotated[
        Path, Setting(".analytics", "folder of everything written", _FOLDER, dev_only=True)
    ]
    sources_file: Annotated[
        Path | None,
        Setting(
            None,
            "YAML file that describes the sources",
            _SOURCES,
            shown="the generated sample",
            variable="ANALYTICS_SOURCES",
            dev_only=True,
        ),
    ]
    dbt_project_dir: Annotated[
        Path,
        Setting(str(PROJECT_ROOT / "dbt_project"), "the dbt project", _DBT_PROJECT, "dbt_project"),
    ]
    threads: Annotated[
        int, Setting(str(os.cpu_count() or 2), "threads of DuckDB and dbt", _whole(1), "all cores")
    ]
    memory_limit: Annotated[
        str,
        Setting(
            "2GB",
            "memory of DuckDB; features of more customers and dates than fit, at 2 kB each, are "
            "computed in parts",
            _MEMORY,
        ),
    ]
    churn_horizon_days: Annotated[
        int, Setting("90", "days without a sale that make a customer churned", _whole(1))
    ]
    churn_test_dates: Annotated[
        int, Setting("2", "as-of dates that the churn candidates are tested on", _whole(1))
    ]
    churn_training_rows: Annotated[
        int,
        Setting("200000", "rows that training reads; beyond, a sample of customers", _whole(1000)),
    ]
    churn_boosting_iterations: Annotated[
        int, Setting("100", "trees of gradient boosting", _whole(10))
    ]
    contact_cost: Annotated[
        float, Setting("5", "money that contacting a customer costs", _number())
    ]
    contact_success: Annotated[
        float, Setting("0.1", "share of contacted churners who stay", _number(1))
    ]
    mlflow_uri: Annotated[
        str | None,
        Setting(
            None,
            "MLflow server, where models are to be shared",
            _MLFLOW,
            shown="a database in the home",
            secret=True,
        ),
    ]
    mlflow_model: Annotated[str, Setting("churn", "name of the registered model", _TEXT)]
    refresh_days: Annotated[
        int, Setting("8", "closed days that the daily refresh loads again", _whole(1))
    ]
    published_builds: Annotated[int, Setting("3", "published builds that are kept", _whole(1))]
    webhook_url: Annotated[
        str | None,
        Setting(None, "address that messages are posted to, as JSON", _WEBHOOK, secret=True),
    ]
    slack_token: Annotated[
        str | None,
        Setting(None, "token of the Slack app that posts messages", _TEXT, secret=True),
    ]
    slack_channel: Annotated[
        str | None, Setting(None, "channel of Slack that it posts them in", _TEXT)
    ]
    smtp_host: Annotated[
        str | None, Setting(None, "mail server that messages are sent through", _SMTP_HOST)
    ]
    smtp_security: Annotated[
        str,
        Setting("starttls", "how it is spoken to: starttls, tls or none", _SMTP_SECURITY),
    ]
    smtp_user: Annotated[str | None, Setting(None, "user at the mail server", _TEXT)]
    smtp_password: Annotated[str | None, Setting(None, "password of that user", _TEXT, secret=True)]
    email_from: Annotated[str | None, Setting(None, "sender of e-mails", _TEXT)]
    email_to: Annotated[
        tuple[str, ...] | None,
        Setting(None, "addresses that e-mails go to, separated by commas", _ADDRESSES),
    ]
    ui_url: Annotated[
        str,
        Setting("http://127.0.0.1:3000", "address of the Dagster UI, for links in messages", _UI),
    ]
    lake: Annotated[
        str | None,
        Setting(
            None, "folder or address of the lake of the stream", _LAKE, shown="lake in the home"
        ),
    ]
    stream_folder: Annotated[
        Path | None,
        Setting(None, "folder with files of events, where they do not come from Kafka", _FOLDER),
    ]
    kafka_servers: Annotated[
        str | None, Setting(None, "Kafka's brokers, as host:port, separated by commas", _SERVERS)
    ]
    kafka_topics: Annotated[
        tuple[str, ...],
        Setting(
            "customer-events,purchase-events,session-events",
            "topics of the events, separated by commas",
            _NAMES,
        ),
    ]
    kafka_options: Annotated[
        Path | None,
        Setting(None, "file with further properties of Kafka's client, such as its login", _FILE),
    ]
    redis_url: Annotated[
        str | None,
        Setting(None, "Redis for live numbers, as redis://host:6379/0", _REDIS, secret=True),
    ]
    live_seconds: Annotated[
        int, Setting("3600", "seconds that a live number stays after its window", _whole(1))
    ]
    spark_master: Annotated[
        str, Setting("local[*]", "master that the stream is submitted to, as Spark names it", _TEXT)
    ]
    spark_jars: Annotated[
        Path | None,
        Setting(None, "folder with the jars of Delta and Kafka", _FOLDER, shown="jars in the home"),
    ]
    stream_seconds: Annotated[
        int, Setting("5", "seconds from one batch of the stream to the next", _whole(1))
    ]
    stream_partitions: Annotated[
        int,
        Setting(
            "4", "parts of the stream's state; it cannot change without a new checkpoint", _whole(1)
        ),
    ]
    large_order: Annotated[
        float, Setting("1000", "money of one purchase from which there is an alert", _number())
    ]
    seed: Annotated[int, Setting("7", "seed of the sample and of training", _whole(0))]
    checks: Annotated[
        Mapping[str, str],
        Setting(
            "",
            "what a failed check does: family=block, warn or off, separated by commas",
            _check_policies,
            ", ".join(f"{family}={policy}" for family, policy in CHECK_POLICIES.items()),
        ),
    ]
    max_orphan_share: Annotated[
        float,
        Setting(
            "0.05",
            "share of rows without a customer or product above which integrity checks are errors",
            _number(1),
        ),
    ]

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that runs write. Its stem is the catalog in dbt's manifest."""
        return self.home / "warehouse.duckdb"

    @property
    def published_dir(self) -> Path:
        """Read-only builds and the pointer to the newest."""
        return self.home / "published"

    @property
    def profiles_dir(self) -> Path:
        """One HTML page for each table, and the figures on it."""
        return self.home / "profiles"

    @property
    def sample_dir(self) -> Path:
        """The generated sample."""
        return self.home / "sample"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME: runs, events, schedules."""
        return self.home / "dagster"

    @property
    def mlflow_dir(self) -> Path:
        """MLflow's database and artifacts, where no server is set."""
        return self.home / "mlflow"

    @property
    def dbt_target_dir(self) -> Path:
        """Where dbt keeps its manifest and compiled SQL."""
        return self.home / "dbt"

    @property
    def feature_rows(self) -> int:
        """Customers x dates whose features fit in the memory limit, at 2 kB each.

        `benchmarks/features.py` needed half of that; the rest is for longer histories.
        """
        number, unit, binary = re.findall(r"([\d.]+) ?([KMGT])(i?)B", self.memory_limit)[0]
        factor = (1024 if binary else 1000) ** ("KMGT".index(unit) + 1)
        return max(int(float(number) * factor) // 2000, 1)

    @property
    def lake_place(self) -> str:
        """The lake of the stream."""
        return self.lake or str(self.home / "lake")

    @property
    def jars_dir(self) -> Path:
        """The jars of the stream."""
        return self.spark_jars or self.home / "jars"

    @property
    def stream_dir(self) -> Path:
        """How far the queries of the stream are, and which alerts have been sent."""
        return self.home / "stream"

    @property
    def dbt_environment(self) -> dict[str, str]:
        """Environment variables that the dbt project reads, windows aside."""
        return {
            "ANALYTICS_WAREHOUSE": str(self.warehouse_path),
            "ANALYTICS_THREADS": str(self.threads),
            "ANALYTICS_MEMORY_LIMIT": self.memory_limit,
            "ANALYTICS_FEATURE_ROWS": str(self.feature_rows),
            "ANALYTICS_CHURN_HORIZON_DAYS": str(self.churn_horizon_days),
            "ANALYTICS_DBT_TESTS": self.checks["dbt"],
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }


VARIABLES = {
    hint.__metadata__[0].variable or f"ANALYTICS_{name.upper()}": (name, hint.__metadata__[0])
    for name, hint in get_type_hints(Settings, include_extras=True).items()
}


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    In dev every setting has a default. Staging and production have to set their home and their
    sources: nothing falls back to the sample or to a folder of the working directory.

    Raises:
        SettingsError: a value is missing or cannot be used.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for variable, (name, setting) in VARIABLES.items():
        text: str | None = env.get(variable, "").strip()
        if not text and setting.dev_only and values["deployment"] != "dev":
            raise SettingsError(
                f"{variable} is not set. The {values['deployment']} deployment has no default for "
                f"it: set {variable} to an absolute path."
            )
        # An empty deployment is a mistake: others depend on it, so it gets no default.
        if not text and not (name == "deployment" and variable in env):
            text = setting.default
        values[name] = None if text is None else setting.rule(variable, text)
    for group in TOGETHER:
        missing = [variable for variable in group if values[VARIABLES[variable][0]] is None]
        if missing and len(missing) < len(group):
            present = ", ".join(variable for variable in group if variable not in missing)
            raise SettingsError(
                f"{present} {'is' if ',' not in present else 'are'} set, and "
                f"{', '.join(missing)} not. Set all of {', '.join(group)}, or none."
            )
    return Settings(**values)


def settings_table() -> str:
    """All settings as a table in Markdown."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for variable, (_, setting) in VARIABLES.items():
        default = setting.shown or setting.default or "none"
        in_dev = "; none outside dev" if setting.dev_only else ""
        lines.append(f"| `{variable}` | {default}{in_dev} | {setting.meaning} |")
    return "\n".join(lines)
