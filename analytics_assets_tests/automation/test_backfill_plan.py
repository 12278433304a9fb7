"""The runs of a backfill, their order, and the months and snapshots that hang on the days."""

from datetime import date, timedelta

import pytest

from analytics_assets.assets.common import run_window
from analytics_assets.automation.backfill import RunPlan, plan_backfill
from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
    SUBSCRIPTIONS,
)
from analytics_assets.partitions import Calendar, Window, next_month

CALENDAR = Calendar(date(2023, 1, 1), date(2025, 1, 1))


def planned(plans: list[RunPlan], job: str) -> list[Window | None]:
    monthly = job == MONTHLY_FEATURES
    return [run_window(plan.tags, monthly=monthly) for plan in plans if plan.job == job]


def test_loads_come_first_then_months_training_and_scores() -> None:
    windows = [
        Window.of_days("2024-03-01", "2024-03-03"),
        Window.of_days("2024-03-09", "2024-04-02"),
    ]
    plans = plan_backfill(windows, CALENDAR, 30)
    assert [plan.job for plan in plans] == [
        LOAD_DAYS,
        LOAD_DAYS,
        MONTHLY_FEATURES,
        RETRAIN,
        SCORE_DAY,
    ]
    assert planned(plans, LOAD_DAYS) == windows
    assert planned(plans, SCORE_DAY) == [Window.of_days("2024-04-02", "2024-04-02")]


def test_before_a_month_has_closed_there_is_nothing_to_train_on() -> None:
    plans = plan_backfill([Window.of_days("2023-01-01", "2023-01-30")], CALENDAR, 30)
    assert [plan.job for plan in plans] == [LOAD_DAYS, SCORE_DAY]


def test_a_month_has_closed_with_its_last_day() -> None:
    plans = plan_backfill([Window.of_days("2023-01-01", "2023-01-31")], CALENDAR, 30)
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2023, 1, 1), date(2023, 2, 1))]


@pytest.mark.parametrize("horizon", [1, 28, 30, 31, 90, 365])
def test_every_month_that_the_days_touch_is_made_again(horizon: int) -> None:
    """A month is touched by its own days, by later ones within its label, by all before it."""
    for start in (CALENDAR.start + timedelta(days=7 * n) for n in range(80)):
        window = Window(start, min(start + timedelta(days=10), date(2025, 1, 1)))
        loaded_to = date(2024, 10, 15)
        end = max(window.end, loaded_to)
        touched, month = [], CALENDAR.start
        while next_month(month) <= end:
            if window.start < next_month(month) + timedelta(days=horizon):
                touched.append(month)
            month = next_month(month)
        plans = plan_backfill([window], CALENDAR, horizon, loaded_to)
        (months,) = planned(plans, MONTHLY_FEATURES)
        assert months is not None
        assert months.start <= touched[0]
        assert months.end == next_month(touched[-1])
        # Two months too many at the most are made.
        assert (touched[0] - months.start).days <= 62


def test_an_old_day_makes_all_later_months_and_the_newest_snapshot_again() -> None:
    old = Window.of_days("2023-05-10", "2023-05-10")
    plans = plan_backfill([old], CALENDAR, 30, loaded_to=date(2024, 2, 20))
    assert planned(plans, LOAD_DAYS) == [old]
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2023, 3, 1), date(2024, 2, 1))]
    assert planned(plans, SCORE_DAY) == [Window.of_days("2024-02-19", "2024-02-19")]


def test_every_snapshot_runs_from_the_first_day_to_the_newest_loaded() -> None:
    plans = plan_backfill(
        [Window.of_days("2024-02-01", "2024-02-03")], CALENDAR, 30, date(2024, 2, 20), True
    )
    assert planned(plans, SCORE_DAY) == [Window.of_days("2024-02-01", "2024-02-19")]


def test_months_do_not_start_before_the_calendar() -> None:
    calendar = Calendar(date(2024, 1, 17), date(2025, 1, 1))
    plans = plan_backfill([Window.of_days("2024-01-17", "2024-03-01")], calendar, 90)
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2024, 1, 1), date(2024, 3, 1))]


def test_subscribers_come_before_what_publishes_them() -> None:
    day = Window.of_days("2023-01-01", "2023-01-01")
    plans = plan_backfill([day], CALENDAR, 30, subscriptions=True)
    assert [plan.job for plan in plans] == [SUBSCRIPTIONS, LOAD_DAYS, SCORE_DAY]
    changed = plan_backfill([], CALENDAR, 30, date(2023, 3, 1), subscriptions=True)
    assert [plan.job for plan in changed] == [SUBSCRIPTIONS, SCORE_DAY]
    assert planned(changed, SCORE_DAY) == [Window.of_days("2023-02-28", "2023-02-28")]
    assert plan_backfill([], CALENDAR, 30, subscriptions=True) == [RunPlan(SUBSCRIPTIONS, {})]
