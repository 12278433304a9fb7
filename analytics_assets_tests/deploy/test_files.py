"""The files of a deployment, by the tools and schemas of what reads them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.automation.instance import instance_config
from analytics_assets.settings import POSTGRES, VARIABLES
from analytics_assets_tests.conftest import REPOSITORY, make_settings
from analytics_assets_tests.deploy.compose import COMPOSE, OURS, PROGRAMS, SERVICES

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
VALUES: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / "deploy" / "helm" / "values.yaml").read_text()
)
WORKFLOW: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text()
)


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [PROGRAMS / program, *arguments], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_keeps_the_rules_of_hadolint() -> None:
    run("hadolint", "--failure-threshold", "info", "Dockerfile")


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.compose-spec", "deploy/compose.yaml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_files_keep_the_schema_of_their_tool(schema: str, file: str) -> None:
    run("check-jsonschema", "--builtin-schema", schema, file)


def test_the_image_is_pinned_runs_as_nobody_and_names_no_host() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", image) for image in stages)
    assert DOCKERFILE.count("--constraint constraints.txt") == DOCKERFILE.count("pip install")
    last = DOCKERFILE.rpartition("FROM")[2]
    assert re.search(r"^USER [1-9]\d*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "://" not in DOCKERFILE
    assert "index-url" not in DOCKERFILE


def test_the_image_has_what_it_copies() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert (REPOSITORY / source).exists()
            assert f"!{source}" in ignored


def test_every_container_of_ours_is_locked_down_and_watched() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "ports" not in service, f"{name} has no password"
        if name != "prepare":
            assert service["healthcheck"]["test"][0] == "CMD"


def test_only_the_proxy_and_grafana_have_ports_and_both_ask_who_it_is() -> None:
    with_ports = {name for name, service in SERVICES.items() if "ports" in service}
    assert with_ports == {"proxy", "grafana"}
    assert SERVICES["proxy"]["secrets"] == ["viewers", "operators"]
    assert "GF_SECURITY_ADMIN_PASSWORD__FILE" in SERVICES["grafana"]["environment"]
    nginx = (REPOSITORY / "deploy" / "nginx" / "nginx.conf").read_text()
    servers = nginx.split("server {")[1:]
    assert len(servers) == 2
    assert all("auth_basic_user_file /run/secrets/" in server for server in servers)


def test_secrets_are_files_and_no_value_is_written_down() -> None:
    secret = {name for name, (_, setting) in VARIABLES.items() if setting.secret}
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert name not in secret
            if "PASSWORD" in name:
                assert str(value).startswith("/run/secrets/"), name
    assert all(source["file"].startswith("./secrets/") for source in COMPOSE["secrets"].values())
    ignored = (REPOSITORY / ".gitignore").read_text()
    assert "deploy/secrets/" in ignored


def mounted() -> list[tuple[str, str]]:
    return [
        (name, volume.partition(":")[0])
        for name, service in SERVICES.items()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]


@pytest.mark.parametrize(("service", "path"), mounted())
def test_what_is_mounted_exists(service: str, path: str) -> None:
    assert (REPOSITORY / "deploy" / path).exists()


def test_named_volumes_and_dependencies_are_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            name = volume.partition(":")[0]
            assert name in COMPOSE["volumes"] or name.startswith((".", "$"))
        assert {*service.get("depends_on", {})} <= SERVICES.keys()
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("environment", ["compose", "helm"])
def test_the_settings_of_a_deployment_are_known_and_enough(
    environment: str, tmp_path: Path
) -> None:
    if environment == "compose":
        given = dict(SERVICES["code"]["environment"])
    else:
        (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
        given = {entry["name"]: entry["value"] for entry in deployment["env"]}
    ours = {name: str(value) for name, value in given.items() if name.startswith("ANALYTICS_")}
    password = tmp_path / "password"
    password.write_text("secret")
    (tmp_path / "sources.yaml").write_text("orders: {}")
    here = {
        "ANALYTICS_SOURCES": str(tmp_path / "sources.yaml"),
        "ANALYTICS_DAGSTER_POSTGRES_PASSWORD_FILE": str(password),
    }
    assert here.keys() <= ours.keys()
    assert {name.removesuffix("_FILE") for name in ours} <= VARIABLES.keys()
    ours = {name: value for name, value in ours.items() if not value.startswith("$")}
    settings = make_settings(tmp_path / "home", **{**ours, **here, "ANALYTICS_HOME": str(tmp_path)})
    assert (settings.deployment, settings.log_format) == ("production", "json")
    assert settings.dagster_postgres_password == "secret"
    assert {f"{POSTGRES[2]}_FILE", *POSTGRES[:2]} <= ours.keys()


def test_helm_has_the_instance_that_we_write_ourselves(tmp_path: Path) -> None:
    """The chart writes dagster.yaml: what runs rely on has to be there, too."""
    ours = instance_config(make_settings(tmp_path))
    extra, monitoring = VALUES["additionalInstanceConfig"], VALUES["dagsterDaemon"]["runMonitoring"]
    assert extra["concurrency"] == ours["concurrency"]
    assert monitoring["pollIntervalSeconds"] == ours["run_monitoring"]["poll_interval_seconds"]
    assert (
        monitoring["freeSlotsAfterRunEndSeconds"]
        == ours["run_monitoring"]["free_slots_after_run_end_seconds"]
    )
    kept = VALUES["retention"]
    assert kept["schedule"]["purgeAfterDays"] == ours["retention"]["schedule"]["purge_after_days"]
    assert kept["sensor"]["purgeAfterDays"] == ours["retention"]["sensor"]["purge_after_days"]
    pinned = re.findall(r"^dagster==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert f"--version {pinned[0]} " in (REPOSITORY / "deploy/helm/values.yaml").read_text()


def test_the_workflow_runs_what_a_checkout_must_pass() -> None:
    text = "\n".join(
        str(step.get("run", "")) for job in WORKFLOW["jobs"].values() for step in job["steps"]
    )
    for part in ("make lint", "dg check defs", "docs generate", "docker build", "up --detach"):
        assert part in text, part
    assert WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["part"] == ["test", "test-slow"]
    assert all("timeout-minutes" in job for job in WORKFLOW["jobs"].values())
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", text):
        assert re.search(rf"^[a-z -]*\b{target}\b.*:", makefile, re.MULTILINE), target
