"""Every setting of the project, read from environment variables into one object.

Belongs here: each setting once (default, meaning, rule), and the resolver of the deployment. Does
not belong here: what a source looks like (`sources.config`) or thresholds of the business rules
(vars of the dbt project).
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from analytics_assets.addresses import FILE, SecretError, secret
from analytics_assets.api_settings import ApiSettings
from analytics_assets.setting_rules import (
    CHECK_POLICIES,
    CRON,
    DBT_PROJECT,
    DEPLOYMENT,
    E_MAILS,
    FOLDER,
    LOG_FORMAT,
    MEMORY,
    POSTGRES_HOST,
    SECURITY,
    SMTP_HOST,
    SOURCES,
    STORAGE,
    SWITCH,
    TEXT,
    UI,
    WEBHOOK,
    ZONE,
    Setting,
    SettingsError,
    check_policies,
    mlflow_address,
    number,
    whole,
)
from analytics_assets.stream_settings import StreamSettings

__all__ = ["CHECK_POLICIES", "Settings", "SettingsError", "load_settings"]

PROJECT_ROOT = Path(__file__).resolve().parents[1]
# What is of no use without the others.
TOGETHER = (
    ("ANALYTICS_SLACK_TOKEN", "ANALYTICS_SLACK_CHANNEL"),
    ("ANALYTICS_SMTP_HOST", "ANALYTICS_EMAIL_FROM", "ANALYTICS_EMAIL_TO"),
    ("ANALYTICS_SMTP_USER", "ANALYTICS_SMTP_PASSWORD"),
    ("ANALYTICS_API_OIDC_ISSUER", "ANALYTICS_API_OIDC_AUDIENCE", "ANALYTICS_API_OIDC_JWKS"),
)
STORAGE_VARIABLE = "ANALYTICS_DAGSTER_STORAGE"
# What Dagster's storage in PostgreSQL needs; the database and the port have defaults.
POSTGRES = tuple(f"ANALYTICS_DAGSTER_POSTGRES_{part}" for part in ("HOST", "USER", "PASSWORD"))
CHANNELS = ("ANALYTICS_WEBHOOK_URL", "ANALYTICS_SLACK_TOKEN", "ANALYTICS_SMTP_HOST")


@dataclass(frozen=True)
class Settings(ApiSettings, StreamSettings):
    """All settings. Paths are absolute."""

    deployment: Annotated[str, Setting("dev", "dev, staging or production", DEPLOYMENT)]
    home: Annotated[
        Path, Setting(".analytics", "folder of everything written", FOLDER, dev_only=True)
    ]
    sources_file: Annotated[
        Path | None,
        Setting(
            None,
            "YAML file that describes the sources",
            SOURCES,
            shown="the generated sample",
            variable="ANALYTICS_SOURCES",
            dev_only=True,
        ),
    ]
    dbt_project_dir: Annotated[
        Path,
        Setting(str(PROJECT_ROOT / "dbt_project"), "the dbt project", DBT_PROJECT, "dbt_project"),
    ]
    threads: Annotated[
        int, Setting(str(os.cpu_count() or 2), "threads of DuckDB and dbt", whole(1), "all cores")
    ]
    memory_limit: Annotated[
        str,
        Setting(
            "2GB",
            "memory of DuckDB; features of more customers and dates than fit, at 2 kB each, are "
            "computed in parts",
            MEMORY,
        ),
    ]
    churn_horizon_days: Annotated[
        int, Setting("90", "days without a sale that make a customer churned", whole(1))
    ]
    churn_test_dates: Annotated[
        int, Setting("2", "as-of dates that the churn candidates are tested on", whole(1))
    ]
    churn_training_rows: Annotated[
        int,
        Setting("200000", "rows that training reads; beyond, a sample of customers", whole(1000)),
    ]
    churn_boosting_iterations: Annotated[
        int, Setting("100", "trees of gradient boosting", whole(10))
    ]
    contact_cost: Annotated[float, Setting("5", "money that contacting a customer costs", number())]
    contact_success: Annotated[
        float, Setting("0.1", "share of contacted churners who stay", number(1))
    ]
    mlflow_uri: Annotated[
        str | None,
        Setting(
            None,
            "MLflow server, where models are to be shared",
            mlflow_address,
            shown="a database in the home",
            secret=True,
        ),
    ] = field(repr=False)
    mlflow_model: Annotated[str, Setting("churn", "name of the registered model", TEXT)]
    automation: Annotated[
        bool | None,
        Setting(
            *(None, "on or off: whether schedules and sensors run, unless the UI says otherwise"),
            *(SWITCH, "off in dev, otherwise on"),
        ),
    ]
    schedule_zone: Annotated[
        str | None,
        Setting(None, "time zone of the schedules", ZONE, shown="the zone of the shop's days"),
    ]
    refresh_at: Annotated[
        str, Setting("0 2 * * *", "when closed days are loaded, as in cron", CRON)
    ]
    features_at: Annotated[
        str, Setting("0 5 1 * *", "when monthly features are built, as in cron", CRON)
    ]
    retrain_at: Annotated[
        str, Setting("0 6 * * 1", "when the churn model is trained again, as in cron", CRON)
    ]
    checks_at: Annotated[
        str,
        Setting("30 * * * *", "when sources and whole tables are looked at, as in cron", CRON),
    ]
    sensor_seconds: Annotated[int, Setting("30", "seconds between two looks of a sensor", whole(1))]
    max_run_days: Annotated[
        int,
        Setting("366", "days that a run loads at most; a longer range is several runs", whole(1)),
    ]
    refresh_days: Annotated[
        int, Setting("8", "closed days that the daily refresh loads again", whole(1))
    ]
    published_builds: Annotated[int, Setting("3", "published builds that are kept", whole(1))]
    retention_days: Annotated[
        int, Setting("90", "days that runs and their events are kept", whole(1))
    ]
    retention_runs: Annotated[
        int, Setting("10000", "newest runs that are kept with their events", whole(1))
    ]
    webhook_url: Annotated[
        str | None,
        Setting(None, "address that messages are posted to, as JSON", WEBHOOK, secret=True),
    ] = field(repr=False)
    slack_token: Annotated[
        str | None,
        Setting(None, "token of the Slack app that posts messages", TEXT, secret=True),
    ] = field(repr=False)
    slack_channel: Annotated[
        str | None, Setting(None, "channel of Slack that it posts them in", TEXT)
    ]
    smtp_host: Annotated[
        str | None, Setting(None, "mail server that messages are sent through", SMTP_HOST)
    ]
    smtp_security: Annotated[
        str,
        Setting("starttls", "how it is spoken to: starttls, tls or none", SECURITY),
    ]
    smtp_user: Annotated[str | None, Setting(None, "user at the mail server", TEXT)]
    smtp_password: Annotated[
        str | None, Setting(None, "password of that user", TEXT, secret=True)
    ] = field(repr=False)
    email_from: Annotated[str | None, Setting(None, "sender of e-mails", TEXT)]
    email_to: Annotated[
        tuple[str, ...] | None,
        Setting(None, "addresses that e-mails go to, separated by commas", E_MAILS),
    ]
    ui_url: Annotated[
        str,
        Setting("http://127.0.0.1:3000", "address of the Dagster UI, for links in messages", UI),
    ]
    dagster_storage: Annotated[
        str,
        Setting(
            "sqlite",
            "where Dagster records runs and events: sqlite, in the home, or postgres",
            STORAGE,
            dev_only=True,
        ),
    ]
    dagster_postgres_host: Annotated[
        str | None, Setting(None, "host of Dagster's PostgreSQL server", POSTGRES_HOST)
    ]
    dagster_postgres_port: Annotated[int, Setting("5432", "its port", whole(1))]
    dagster_postgres_user: Annotated[str | None, Setting(None, "user there", TEXT)]
    dagster_postgres_password: Annotated[
        str | None, Setting(None, "password of that user", TEXT, secret=True)
    ] = field(repr=False)
    dagster_postgres_database: Annotated[str, Setting("dagster", "database there", TEXT)]
    log_format: Annotated[
        str,
        Setting("text", "text, or json: an object a line, of the command and of runs", LOG_FORMAT),
    ]
    seed: Annotated[int, Setting("7", "seed of the sample and of training", whole(0))]
    checks: Annotated[
        Mapping[str, str],
        Setting(
            "",
            "what a failed check does: family=block, warn or off, separated by commas",
            check_policies,
            ", ".join(f"{family}={policy}" for family, policy in CHECK_POLICIES.items()),
        ),
    ]
    max_orphan_share: Annotated[
        float,
        Setting(
            "0.05",
            "share of rows without a customer or product above which integrity checks are errors",
            number(1),
        ),
    ]

    @property
    def automatic(self) -> bool:
        """Whether schedules and sensors run unless somebody stops them."""
        return self.deployment != "dev" if self.automation is None else self.automation

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that runs write. Its stem is the catalog in dbt's manifest."""
        return self.home / "warehouse.duckdb"

    @property
    def occupancy_path(self) -> Path:
        """The lock of the run that has the warehouse."""
        return self.home / "warehouse.run"

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
    for name, hint in sorted(
        get_type_hints(Settings, include_extras=True).items(),
        key=lambda named: named[0] not in Settings.__annotations__,  # its own ones first
    )
}


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables, and secrets also from files.

    In dev every setting has a default. Staging and production have to set what would otherwise
    fall back to the sample, to a folder of the working directory, or to a file on this machine.

    Raises:
        SettingsError: values are missing or cannot be used; the message has all of them.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable, (name, setting) in VARIABLES.items():
        try:
            values[name] = _value(variable, setting, env, values.get("deployment"))
        except SettingsError as error:
            if name == "deployment":
                raise  # others depend on it
            values[name] = None
            problems.append(str(error))
    problems += _conflicts({v: values[name] for v, (name, _) in VARIABLES.items()}, env)
    if problems:
        raise SettingsError("\n".join(dict.fromkeys(problems)))
    return Settings(**values)


def _value(
    variable: str, setting: Setting, env: Mapping[str, str], deployment: str | None
) -> Any | None:
    text: str | None = env.get(variable, "").strip()
    if setting.secret:
        try:
            text = secret(variable, env)
        except SecretError as error:
            raise SettingsError(str(error)) from None
    if not text and setting.dev_only and deployment not in (None, "dev"):
        raise SettingsError(
            f"{variable} is not set ({setting.meaning}). The {deployment} deployment has no "
            "default for it: set it."
        )
    # An empty deployment is a mistake: others depend on it, so it gets no default.
    if not text and not (variable == "ANALYTICS_DEPLOYMENT" and variable in env):
        text = setting.default
    return None if text is None else setting.rule(variable, text)


def _conflicts(values: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    """What is missing or of no use because of another setting."""
    for group in TOGETHER:
        missing = [variable for variable in group if not _given(variable, env)]
        if missing and len(missing) < len(group):
            present = ", ".join(variable for variable in group if variable not in missing)
            yield (
                f"{present} {'is' if ',' not in present else 'are'} set, and "
                f"{', '.join(missing)} not. Set all of {', '.join(group)}, or none."
            )
    missing = [variable for variable in POSTGRES if not _given(variable, env)]
    if missing and values[STORAGE_VARIABLE] == "postgres":
        yield f"{STORAGE_VARIABLE} is postgres, and {', '.join(missing)} not set. Set all."
    unused = [variable for variable in POSTGRES if _given(variable, env)]
    if unused and values[STORAGE_VARIABLE] == "sqlite":
        yield (
            f"{', '.join(unused)} set, and {STORAGE_VARIABLE} is sqlite. Set it to postgres, "
            "or unset the others."
        )
    told = [variable for variable in CHANNELS if _given(variable, env)]
    if told and values["ANALYTICS_DEPLOYMENT"] != "dev" and not _given("ANALYTICS_UI_URL", env):
        yield (
            f"ANALYTICS_UI_URL is not set: messages of {', '.join(told)} would have links to "
            "127.0.0.1. Set it to the address of the Dagster UI."
        )


def _given(variable: str, env: Mapping[str, str]) -> bool:
    return bool(env.get(variable, "").strip() or env.get(variable + FILE, "").strip())
