"""Settings: defaults in dev only, and a sentence for every wrong value."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from analytics_assets.settings import (
    CHECK_POLICIES,
    POSTGRES,
    PROJECT_ROOT,
    TOGETHER,
    VARIABLES,
    SettingsError,
    load_settings,
)

ODD = "p@ss/w:rd%#?&"
REQUIRED = ["ANALYTICS_HOME", "ANALYTICS_SOURCES", "ANALYTICS_DAGSTER_STORAGE"]
SECRETS = {name: field for name, (field, setting) in VARIABLES.items() if setting.secret}


@pytest.fixture
def complete(tmp_path: Path) -> dict[str, str]:
    """An environment with all that staging and production need."""
    (tmp_path / "sources.yaml").write_text("orders: {}")
    return {
        "ANALYTICS_HOME": str(tmp_path / "home"),
        "ANALYTICS_SOURCES": str(tmp_path / "sources.yaml"),
        "ANALYTICS_DAGSTER_STORAGE": "sqlite",
    }


def test_dev_needs_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    assert settings.deployment == "dev"
    assert settings.home == tmp_path / ".analytics"
    assert settings.sources_file is None
    assert settings.dbt_project_dir == PROJECT_ROOT / "dbt_project"
    assert settings.threads == os.cpu_count()
    assert settings.memory_limit == "2GB"
    assert settings.webhook_url is settings.slack_token is settings.smtp_host is None
    assert (settings.smtp_security, settings.email_to) == ("starttls", None)
    assert settings.ui_url == "http://127.0.0.1:3000"
    assert (
        settings.churn_horizon_days,
        settings.refresh_days,
        settings.published_builds,
        settings.seed,
    ) == (90, 8, 3, 7)
    assert (
        settings.churn_test_dates,
        settings.churn_training_rows,
        settings.churn_boosting_iterations,
        settings.contact_cost,
        settings.contact_success,
        settings.mlflow_uri,
        settings.mlflow_model,
    ) == (2, 200_000, 100, 5.0, 0.1, None, "churn")


def test_everything_written_lies_under_home(complete: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(complete)
    home = tmp_path / "home"
    assert settings.warehouse_path == home / "warehouse.duckdb"
    assert {
        settings.published_dir,
        settings.sample_dir,
        settings.dagster_home,
        settings.dbt_target_dir,
        settings.mlflow_dir,
    } == {home / name for name in ("published", "sample", "dagster", "dbt", "mlflow")}


def test_every_value_can_be_set(complete: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(
        {
            **complete,
            "ANALYTICS_DEPLOYMENT": "production",
            "ANALYTICS_THREADS": "3",
            "ANALYTICS_MEMORY_LIMIT": "512MB",
            "ANALYTICS_CHURN_HORIZON_DAYS": "60",
            "ANALYTICS_REFRESH_DAYS": "4",
            "ANALYTICS_PUBLISHED_BUILDS": "5",
            "ANALYTICS_SEED": "0",
            "ANALYTICS_CHURN_TEST_DATES": "4",
            "ANALYTICS_CHURN_TRAINING_ROWS": "5000",
            "ANALYTICS_CHURN_BOOSTING_ITERATIONS": "50",
            "ANALYTICS_CONTACT_COST": "0.25",
            "ANALYTICS_CONTACT_SUCCESS": "1",
            "ANALYTICS_MLFLOW_URI": "https://mlflow.example.com",
            "ANALYTICS_MLFLOW_MODEL": "churn_staging",
            "ANALYTICS_WEBHOOK_URL": " https://hooks.example.com/a ",
            "ANALYTICS_SLACK_TOKEN": "xoxb-1",
            "ANALYTICS_SLACK_CHANNEL": "#data",
            "ANALYTICS_SMTP_HOST": "mail.example.com:587",
            "ANALYTICS_SMTP_SECURITY": "tls",
            "ANALYTICS_SMTP_USER": "shop",
            "ANALYTICS_SMTP_PASSWORD": "p:w@d%",
            "ANALYTICS_EMAIL_FROM": "Shop <shop@example.com>",
            "ANALYTICS_EMAIL_TO": "a@example.com, b@example.com",
            "ANALYTICS_UI_URL": "https://dagster.example.com/",
            "ANALYTICS_CHECKS": " anomalies=off, volume = block,dbt=warn ,",
            "ANALYTICS_MAX_ORPHAN_SHARE": ".2",
            "ANALYTICS_DAGSTER_STORAGE": "postgres",
            "ANALYTICS_DAGSTER_POSTGRES_HOST": "db.example.com",
            "ANALYTICS_DAGSTER_POSTGRES_PORT": "6543",
            "ANALYTICS_DAGSTER_POSTGRES_USER": "runs",
            "ANALYTICS_DAGSTER_POSTGRES_PASSWORD": ODD,
            "ANALYTICS_DAGSTER_POSTGRES_DATABASE": "records",
            "ANALYTICS_LOG_FORMAT": "json",
        }
    )
    assert settings.deployment == "production"
    changed = {"anomalies": "off", "volume": "block", "dbt": "warn"}
    assert settings.checks == CHECK_POLICIES | changed
    assert settings.max_orphan_share == 0.2
    assert settings.sources_file == tmp_path / "sources.yaml"
    assert settings.webhook_url == "https://hooks.example.com/a"
    assert (settings.slack_token, settings.slack_channel) == ("xoxb-1", "#data")
    assert (settings.smtp_host, settings.smtp_security) == ("mail.example.com:587", "tls")
    assert (settings.smtp_user, settings.smtp_password) == ("shop", "p:w@d%")
    assert settings.email_from == "Shop <shop@example.com>"
    assert settings.email_to == ("a@example.com", "b@example.com")
    assert settings.ui_url == "https://dagster.example.com"
    assert (settings.dagster_storage, settings.log_format) == ("postgres", "json")
    assert (
        settings.dagster_postgres_host,
        settings.dagster_postgres_port,
        settings.dagster_postgres_user,
        settings.dagster_postgres_password,
        settings.dagster_postgres_database,
    ) == ("db.example.com", 6543, "runs", ODD, "records")
    assert (settings.refresh_days, settings.published_builds, settings.seed) == (4, 5, 0)
    assert (
        settings.churn_test_dates,
        settings.churn_training_rows,
        settings.churn_boosting_iterations,
        settings.contact_cost,
        settings.contact_success,
        settings.mlflow_uri,
        settings.mlflow_model,
    ) == (4, 5000, 50, 0.25, 1.0, "https://mlflow.example.com", "churn_staging")
    assert settings.dbt_environment == {
        "ANALYTICS_WAREHOUSE": str(tmp_path / "home" / "warehouse.duckdb"),
        "ANALYTICS_THREADS": "3",
        "ANALYTICS_MEMORY_LIMIT": "512MB",
        "ANALYTICS_FEATURE_ROWS": "256000",
        "ANALYTICS_CHURN_HORIZON_DAYS": "60",
        "ANALYTICS_DBT_TESTS": "warn",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


@pytest.mark.parametrize("empty", ["", "   "])
@pytest.mark.parametrize("missing", REQUIRED)
@pytest.mark.parametrize("deployment", ["staging", "production"])
def test_staging_and_production_fall_back_to_nothing(
    complete: dict[str, str], deployment: str, missing: str, empty: str
) -> None:
    environment = {**complete, "ANALYTICS_DEPLOYMENT": deployment}
    assert load_settings(environment).deployment == deployment
    del environment[missing]
    for wrong in (environment, {**environment, missing: empty}):
        with pytest.raises(SettingsError, match=rf"{missing} is not set \(.*The {deployment} depl"):
            load_settings(wrong)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "ANALYTICS_DEPLOYMENT",
            "prod",
            "ANALYTICS_DEPLOYMENT is 'prod'; set it to one of dev, staging, production.",
        ),
        ("ANALYTICS_DEPLOYMENT", "", "ANALYTICS_DEPLOYMENT is ''; set it to one of"),
        ("ANALYTICS_DEPLOYMENT", "Production", "ANALYTICS_DEPLOYMENT is 'Production'; set it to"),
        ("ANALYTICS_SOURCES", "nowhere.yaml", "nowhere.yaml, which is no file. Set it to the YAML"),
        ("ANALYTICS_DBT_PROJECT_DIR", "nowhere", "No dbt_project.yml in "),
        ("ANALYTICS_WEBHOOK_URL", "hooks.example.com/x", "ANALYTICS_WEBHOOK_URL does not start"),
        ("ANALYTICS_UI_URL", "localhost:3000", "ANALYTICS_UI_URL does not start with http"),
        ("ANALYTICS_SMTP_HOST", "smtp://mail:25", "ANALYTICS_SMTP_HOST is no host; write its name"),
        ("ANALYTICS_SMTP_SECURITY", "ssl", "is 'ssl'; set it to one of starttls, tls, none."),
        ("ANALYTICS_EMAIL_TO", "a@b.c, d", "write e-mail addresses, separated by commas."),
        ("ANALYTICS_THREADS", "0", "ANALYTICS_THREADS is '0'; set it to a whole number from 1 up."),
        ("ANALYTICS_THREADS", "2.5", "ANALYTICS_THREADS is '2.5'; set it to a whole number from 1"),
        ("ANALYTICS_THREADS", "two", "ANALYTICS_THREADS is 'two'"),
        ("ANALYTICS_THREADS", "-1", "ANALYTICS_THREADS is '-1'"),
        ("ANALYTICS_THREADS", "²", "ANALYTICS_THREADS is '²'"),
        ("ANALYTICS_CHURN_HORIZON_DAYS", "0", "ANALYTICS_CHURN_HORIZON_DAYS is '0'"),
        ("ANALYTICS_REFRESH_DAYS", "0", "ANALYTICS_REFRESH_DAYS is '0'"),
        ("ANALYTICS_PUBLISHED_BUILDS", "0", "ANALYTICS_PUBLISHED_BUILDS is '0'"),
        ("ANALYTICS_SEED", "-7", "ANALYTICS_SEED is '-7'; set it to a whole number from 0 up."),
    ],
)
def test_a_wrong_value_gets_its_sentence(
    complete: dict[str, str], name: str, value: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**complete, name: value})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANALYTICS_WEBHOOK_URL", "ftp://canary"),
        ("ANALYTICS_MLFLOW_URI", "me:canary@mlflow"),
        ("ANALYTICS_MLFLOW_URI", "https://me:can@ary/canary@mlflow"),
        ("ANALYTICS_DAGSTER_POSTGRES_HOST", "postgresql://me:canary@db/dagster"),
        ("ANALYTICS_SMTP_HOST", "me:canary@mail"),
        ("ANALYTICS_SLACK_TOKEN", "canary"),  # without a channel
        ("ANALYTICS_SMTP_PASSWORD", "canary"),  # without a user
    ],
)
def test_no_message_repeats_a_secret(complete: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings({**complete, name: value})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("missing", [name for group in TOGETHER for name in group])
def test_half_a_channel_says_what_is_missing(complete: dict[str, str], missing: str) -> None:
    (group,) = [names for names in TOGETHER if missing in names]
    values = {name: "me@mail" if "EMAIL" in name else "mail" for name in group}
    values |= {name: "https://id.example.com/keys" for name in group if "JWKS" in name}
    load_settings({**complete, **values})
    del values[missing]
    with pytest.raises(SettingsError, match=rf"set, and {missing} not\. Set all of {group[0]}"):
        load_settings({**complete, **values})


@pytest.mark.parametrize("name", ["ANALYTICS_SOURCES", "ANALYTICS_DBT_PROJECT_DIR"])
def test_a_message_says_where_a_relative_path_leads(complete: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({**complete, name: "nowhere"})
    assert str(Path.cwd() / "nowhere") in str(caught.value)


def test_without_an_argument_the_process_environment_is_read(
    complete: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**complete, "ANALYTICS_SEED": "42"}.items():
        monkeypatch.setenv(name, value)
    assert load_settings().seed == 42


@pytest.mark.parametrize("wrong", ["anomaly=off", "volume=error", "volume", "=off", "a=b=c"])
def test_a_wrong_policy_of_checks_names_the_right_words(wrong: str) -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_CHECKS") as caught:
        load_settings({"ANALYTICS_CHECKS": f"freshness=block, {wrong}"})
    assert repr(wrong) in str(caught.value)
    assert "anomalies" in str(caught.value)
    assert "block, warn, off" in str(caught.value)


@pytest.mark.parametrize("wrong", ["5", "-0.1", "5%", "1.01", "nan"])
def test_a_share_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_MAX_ORPHAN_SHARE"):
        load_settings({"ANALYTICS_MAX_ORPHAN_SHARE": wrong})


@pytest.mark.parametrize(
    ("limit", "rows"), [("2GB", 1_000_000), ("1.5 GB", 750_000), ("2MiB", 1048), ("1KB", 1)]
)
def test_what_fits_in_the_memory_limit(limit: str, rows: int) -> None:
    assert load_settings({"ANALYTICS_MEMORY_LIMIT": limit}).feature_rows == rows


@pytest.mark.parametrize("deployment", ["staging", "production"])
def test_all_that_is_missing_is_in_one_message(deployment: str) -> None:
    environment = {
        "ANALYTICS_DEPLOYMENT": deployment,
        "ANALYTICS_THREADS": "many",
        "ANALYTICS_SLACK_TOKEN": "xoxb-1",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    message = str(caught.value)
    for name in (*REQUIRED, "ANALYTICS_THREADS", "ANALYTICS_SLACK_CHANNEL", "ANALYTICS_UI_URL"):
        assert message.count(f"{name} ") >= 1, name
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize("missing", POSTGRES)
def test_storage_in_postgres_says_what_it_lacks(complete: dict[str, str], missing: str) -> None:
    values = dict.fromkeys(POSTGRES, "db") | {"ANALYTICS_DAGSTER_STORAGE": "postgres"}
    load_settings({**complete, **values})
    del values[missing]
    with pytest.raises(SettingsError, match=f"is postgres, and {missing} not set"):
        load_settings({**complete, **values})


def test_a_server_that_is_not_used_is_said(complete: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="Set it to postgres, or unset the others"):
        load_settings({**complete, "ANALYTICS_DAGSTER_POSTGRES_HOST": "db"})


@pytest.mark.parametrize("channel", ["ANALYTICS_WEBHOOK_URL", "ANALYTICS_SMTP_HOST"])
def test_links_in_messages_lead_nowhere_only_in_dev(complete: dict[str, str], channel: str) -> None:
    environment = {
        **complete,
        "ANALYTICS_WEBHOOK_URL": "https://hooks.example.com",
        "ANALYTICS_SMTP_HOST": "mail",
        "ANALYTICS_EMAIL_FROM": "a@b",
        "ANALYTICS_EMAIL_TO": "a@b",
    }
    load_settings(environment)
    environment["ANALYTICS_DEPLOYMENT"] = "production"
    with pytest.raises(SettingsError, match=f"ANALYTICS_UI_URL is not set.*{channel}"):
        load_settings(environment)
    load_settings({**environment, "ANALYTICS_UI_URL": "https://dagster.example.com"})


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_be_in_a_file(complete: dict[str, str], tmp_path: Path, name: str) -> None:
    together = next((group for group in (*TOGETHER, POSTGRES) if name in group), (name,))
    others = {other: "me@mail" if "EMAIL" in other else "mail" for other in together}
    del others[name]
    if name in POSTGRES:
        others["ANALYTICS_DAGSTER_STORAGE"] = "postgres"
    protocols = {"REDIS": "redis", "POSTGRES_URL": "postgresql"}
    protocol = next((p for word, p in protocols.items() if word in name), "https")
    value = f"{protocol}://mail/{quote(ODD, safe='')}" if "UR" in name else ODD
    file = tmp_path / "secret"
    file.write_text(value + "\n")
    environment = {**complete, **others, f"{name}_FILE": str(file)}
    assert getattr(load_settings(environment), SECRETS[name]) == value
    assert value not in repr(load_settings(environment))

    for wrong, sentence in (
        ({name: value}, f"{name} and {name}_FILE are both set. Unset one"),
        ({f"{name}_FILE": str(tmp_path / "none")}, "cannot be read: No such file"),
    ):
        with pytest.raises(SettingsError, match=sentence) as caught:
            load_settings({**environment, **wrong})
        assert ODD not in str(caught.value)
    file.write_text("\n")
    with pytest.raises(SettingsError, match=r"which is empty\. Write the value"):
        load_settings(environment)
