"""Every knob of the project, read from environment variables into one object.

Belongs here: names, defaults and the resolver of the deployment. Does not belong here: what a
source looks like (`sources.config`) or thresholds of the business rules (vars of the dbt project).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DEPLOYMENTS = ("dev", "staging", "production")
# What a failure of each family of checks does. dbt: the tests of the dbt project.
CHECK_POLICIES = {
    "schema": "block",
    "dbt": "block",
    "accounting": "block",
    "uniqueness": "block",
    "integrity": "block",
    "validity": "warn",
    "anomalies": "warn",
    "volume": "warn",
    "freshness": "warn",
    "drift": "warn",
    "churn": "warn",
}
POLICIES = ("block", "warn", "off")


class SettingsError(ValueError):
    """A setting is missing or wrong; the message says which one and what to do."""


@dataclass(frozen=True)
class Settings:
    """All settings. Paths are absolute.

    Attributes:
        deployment: dev, staging or production (ANALYTICS_DEPLOYMENT).
        home: where everything written lies (ANALYTICS_HOME).
        sources_file: YAML that describes the sources; None for the generated sample
            (ANALYTICS_SOURCES).
        dbt_project_dir: the dbt project (ANALYTICS_DBT_PROJECT_DIR).
        threads: DuckDB and dbt threads (ANALYTICS_THREADS).
        memory_limit: DuckDB memory limit, such as 2GB (ANALYTICS_MEMORY_LIMIT).
        churn_horizon_days: days without a sale that make a customer churned
            (ANALYTICS_CHURN_HORIZON_DAYS).
        churn_test_dates: as-of dates that the churn candidates are tested on
            (ANALYTICS_CHURN_TEST_DATES).
        churn_training_rows: labelled rows that training reads at most; beyond, a sample of
            customers (ANALYTICS_CHURN_TRAINING_ROWS).
        churn_boosting_iterations: trees of gradient boosting (ANALYTICS_CHURN_BOOSTING_ITERATIONS).
        contact_cost: money that contacting a customer costs (ANALYTICS_CONTACT_COST).
        contact_success: share of contacted churners who stay (ANALYTICS_CONTACT_SUCCESS).
        mlflow_uri: tracking and registry server of MLflow; None for a database in the home
            (ANALYTICS_MLFLOW_URI).
        mlflow_model: name of the registered model (ANALYTICS_MLFLOW_MODEL).
        refresh_days: closed days that the daily refresh redoes (ANALYTICS_REFRESH_DAYS).
        published_builds: published builds that are kept (ANALYTICS_PUBLISHED_BUILDS).
        webhook_url: where failures are reported; None for nowhere (ANALYTICS_WEBHOOK_URL).
        seed: seed of everything random (ANALYTICS_SEED).
        checks: block, warn or off for each family of checks (ANALYTICS_CHECKS).
        max_orphan_share: share of rows without a member in the customer or product source above
            which the integrity checks are errors (ANALYTICS_MAX_ORPHAN_SHARE).
    """

    deployment: str
    home: Path
    sources_file: Path | None
    dbt_project_dir: Path
    threads: int
    memory_limit: str
    churn_horizon_days: int
    churn_test_dates: int
    churn_training_rows: int
    churn_boosting_iterations: int
    contact_cost: float
    contact_success: float
    mlflow_uri: str | None
    mlflow_model: str
    refresh_days: int
    published_builds: int
    webhook_url: str | None
    seed: int
    checks: Mapping[str, str] = field(default_factory=lambda: dict(CHECK_POLICIES))
    max_orphan_share: float = 0.05

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
        """One HTML page for each table, and the figures it was made from."""
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

        Half of that did in `benchmarks/features.py`; the rest is for longer histories.
        """
        number, unit, binary = re.findall(r"([\d.]+) ?([KMGT])(i?)B", self.memory_limit)[0]
        factor = (1024 if binary else 1000) ** ("KMGT".index(unit) + 1)
        return max(int(float(number) * factor) // 2000, 1)

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


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    In dev every setting has a default. Staging and production name their home and their sources
    themselves: nothing falls back to the sample or to a folder of the working directory.

    Raises:
        SettingsError: a value is missing or cannot be used.
    """
    env = os.environ if environment is None else environment
    deployment = env.get("ANALYTICS_DEPLOYMENT", "dev")
    if deployment not in DEPLOYMENTS:
        raise SettingsError(
            f"ANALYTICS_DEPLOYMENT is {deployment!r}; set it to one of {', '.join(DEPLOYMENTS)}."
        )

    def path(name: str, default: Path | None) -> Path | None:
        value = env.get(name, "").strip()
        if value:
            return Path(value).expanduser().resolve()
        if deployment != "dev":
            raise SettingsError(
                f"{name} is not set. The {deployment} deployment has no default for it: "
                f"set {name} to an absolute path."
            )
        return default

    def integer(name: str, default: int, least: int) -> int:
        value = env.get(name, "").strip() or str(default)
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise SettingsError(f"{name} is {value!r}; set it to a whole number from {least} up.")
        return int(value)

    def decimal(name: str, default: float, most: float) -> float:
        value = env.get(name, "").strip() or str(default)
        if not re.fullmatch(r"\d+(\.\d+)?", value) or not float(value) <= most:
            limit = f"from 0 to {most:g}" if most < float("inf") else "from 0 up"
            raise SettingsError(f"{name} is {value!r}; set it to a number {limit}, such as 0.5.")
        return float(value)

    home = path("ANALYTICS_HOME", Path.cwd() / ".analytics")
    sources_file = path("ANALYTICS_SOURCES", None)
    if sources_file is not None and not sources_file.is_file():
        raise SettingsError(
            f"ANALYTICS_SOURCES names {sources_file}, which is no file. Set it to the YAML file "
            "that describes your sources, or unset it in dev to use the generated sample."
        )
    dbt_project_dir = Path(
        env.get("ANALYTICS_DBT_PROJECT_DIR") or PROJECT_ROOT / "dbt_project"
    ).resolve()
    if not (dbt_project_dir / "dbt_project.yml").is_file():
        raise SettingsError(
            f"No dbt_project.yml in {dbt_project_dir}. Run from a checkout of the project, or set "
            "ANALYTICS_DBT_PROJECT_DIR to its dbt_project folder."
        )
    webhook_url = env.get("ANALYTICS_WEBHOOK_URL", "").strip() or None
    if webhook_url and not webhook_url.startswith(("http://", "https://")):
        raise SettingsError(
            "ANALYTICS_WEBHOOK_URL does not start with http:// or https://; set it to the address "
            "of the webhook, or unset it."
        )
    mlflow_uri = env.get("ANALYTICS_MLFLOW_URI", "").strip() or None
    if mlflow_uri and "://" not in mlflow_uri:
        raise SettingsError(
            f"ANALYTICS_MLFLOW_URI is {mlflow_uri!r}; set it to the address of an MLflow server, "
            "such as https://mlflow.example.com, or unset it to keep models in ANALYTICS_HOME."
        )
    memory_limit = env.get("ANALYTICS_MEMORY_LIMIT", "").strip() or "2GB"
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", memory_limit):
        raise SettingsError(
            f"ANALYTICS_MEMORY_LIMIT is {memory_limit!r}; write a number and a unit, such as 2GB."
        )
    share = env.get("ANALYTICS_MAX_ORPHAN_SHARE", "").strip() or "0.05"
    if not re.fullmatch(r"0?\.\d+|[01](\.0*)?", share):
        raise SettingsError(
            f"ANALYTICS_MAX_ORPHAN_SHARE is {share!r}; write a share from 0 to 1, such as 0.05."
        )
    assert home is not None
    return Settings(
        deployment=deployment,
        home=home,
        sources_file=sources_file,
        dbt_project_dir=dbt_project_dir,
        threads=integer("ANALYTICS_THREADS", os.cpu_count() or 2, 1),
        memory_limit=memory_limit,
        churn_horizon_days=integer("ANALYTICS_CHURN_HORIZON_DAYS", 90, 1),
        churn_test_dates=integer("ANALYTICS_CHURN_TEST_DATES", 2, 1),
        churn_training_rows=integer("ANALYTICS_CHURN_TRAINING_ROWS", 200_000, 1000),
        churn_boosting_iterations=integer("ANALYTICS_CHURN_BOOSTING_ITERATIONS", 100, 10),
        contact_cost=decimal("ANALYTICS_CONTACT_COST", 5.0, float("inf")),
        contact_success=decimal("ANALYTICS_CONTACT_SUCCESS", 0.1, 1.0),
        mlflow_uri=mlflow_uri,
        mlflow_model=env.get("ANALYTICS_MLFLOW_MODEL", "").strip() or "churn",
        refresh_days=integer("ANALYTICS_REFRESH_DAYS", 8, 1),
        published_builds=integer("ANALYTICS_PUBLISHED_BUILDS", 3, 1),
        webhook_url=webhook_url,
        seed=integer("ANALYTICS_SEED", 7, 0),
        checks=_check_policies(env.get("ANALYTICS_CHECKS", "")),
        max_orphan_share=float(share),
    )


def _check_policies(text: str) -> dict[str, str]:
    """`anomalies=off, volume=block` over the defaults."""
    policies = dict(CHECK_POLICIES)
    for part in filter(None, (part.strip() for part in text.split(","))):
        family, _, policy = (word.strip() for word in part.partition("="))
        if family not in policies or policy not in POLICIES:
            raise SettingsError(
                f"ANALYTICS_CHECKS has {part!r}; write family=policy, separated by commas, with a "
                f"family of {', '.join(policies)} and a policy of {', '.join(POLICIES)}."
            )
        policies[family] = policy
    return policies
