"""IBM's telephone company, with subscriptions as the only source, through the whole project."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.automation.backfill import plan_backfill
from analytics_assets.automation.outdated import outdated, outdated_jobs
from analytics_assets_tests.conftest import (
    REPOSITORY,
    Project,
    make_settings,
    open_project,
    share_manifest,
)

DATA = REPOSITORY.parent / "shared" / "data" / "telco"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


@pytest.fixture(scope="module")
def telco(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("telco")
    example = (REPOSITORY / "examples" / "telco.yaml").read_text()
    assert example.count("path: telco/") == 1
    file = folder / "sources.yaml"
    file.write_text(example.replace("path: telco/", f"path: {DATA}/"))
    settings = make_settings(folder / "home", ANALYTICS_SOURCES=str(file))
    with open_project(share_manifest(manifest, settings)) as project:
        plans = plan_backfill([], project.calendar, 90, own_jobs=["subscriptions"])
        yield Project(settings, project.instance, project.run(plans))


def test_everything_runs_and_is_published_without_an_order(telco: Project) -> None:
    assert telco.outcome.failures == []
    assert sum(made.failed + made.warned for made in telco.outcome.assets.values()) == 0
    assert (telco.settings.published_dir / "CURRENT").is_file()
    state = (telco.definitions(), telco.instance, telco.sources, telco.warehouse)
    assert outdated(*state) == []
    assert not outdated_jobs(*state)


def test_every_subscriber_is_staged_and_the_blank_totals_are_made_up_for(telco: Project) -> None:
    assert telco.query("SELECT count(*), count(total_charges) FROM raw.raw_subscriptions") == [
        (7_043, 7_032)
    ]
    assert telco.query(
        "SELECT total_charges_imputed, count(*), count(*) FILTER (churned), "
        "sum(tenure_months) = 0, sum(total_charges) = 0 "
        "FROM marts.subscription_analytics GROUP BY 1 ORDER BY 1"
    ) == [(False, 7_032, 1_869, False, False), (True, 11, 0, True, True)]
    assert telco.query(
        "SELECT sum(subscribers), sum(churned), sum(total_charges_imputed), "
        "arg_max(contract, churn_rate) FROM marts.churn_by_contract"
    ) == [(7_043, 1_869, 11, "Month-to-month")]


def test_the_model_is_as_good_as_what_others_published(telco: Project) -> None:
    ((auc, slope, tests, rows, loss, baseline),) = telco.query(
        "SELECT roc_auc, calibration_slope, tests, test_rows, log_loss, (SELECT log_loss FROM "
        "churn.subscription_model WHERE candidate = 'prevalence') "
        "FROM churn.subscription_model WHERE is_chosen"
    )
    assert 0.84 < auc < 0.90  # a leak would give nearly 1
    assert 0.9 < slope < 1.1
    assert (tests, rows) == (5, 7_043)
    assert loss < baseline


def test_those_who_have_not_left_are_scored(telco: Project) -> None:
    ((rows, left, mean, reasons),) = telco.query(
        "SELECT count(*), count(*) FILTER (churned), avg(churn_probability), count(reason_1) "
        "FROM churn.subscription_predictions JOIN marts.subscription_analytics USING (customer_id)"
    )
    assert (rows, left) == (5_174, 0)
    assert reasons > 5_000  # who is typical in all that counts has none
    assert 0.1 < mean < 0.2654  # less at risk than all, of whom 26.54% have left
