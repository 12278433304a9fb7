"""The runs of a backfill, their order, and the months and snapshots that hang on the days."""

from datetime import date, timedelta

import pytest

from analytics_assets.automation.backfill import History, RunPlan, plan_backfill
from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
)
from analytics_assets.checks.staleness import SNAPSHOTS, Stale
from analytics_assets.partitions import KEEP_MODELS_TAG, Calendar, Window, next_month, run_window

CALENDAR = Calendar(date(2023, 1, 1), date(2025, 1, 1))


def planned(plans: list[RunPlan], job: str) -> list[Window | None]:
    monthly = job == MONTHLY_FEATURES
    return [run_window(plan.tags, monthly=monthly) for plan in plans if plan.job == job]


def history(loaded_to: date, *snapshots: date, stale: Stale | None = None) -> History:
    """Everything up to a day was loaded."""
    days = Window(CALENDAR.start, loaded_to) if loaded_to > CALENDAR.start else []
    return History(frozenset(days), frozenset(snapshots), stale or Stale())


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
        SCORE_DAY,
    ]
    assert planned(plans, LOAD_DAYS) == windows
    assert planned(plans, SCORE_DAY) == [
        Window.of_days("2024-03-03", "2024-03-03"),
        Window.of_days("2024-04-02", "2024-04-02"),
    ]


def test_before_a_month_has_closed_there_is_nothing_to_train_on() -> None:
    plans = plan_backfill([Window.of_days("2023-01-01", "2023-01-30")], CALENDAR, 30)
    assert [plan.job for plan in plans] == [LOAD_DAYS, SCORE_DAY]


def test_a_month_has_closed_with_its_last_day() -> None:
    plans = plan_backfill([Window.of_days("2023-01-01", "2023-01-31")], CALENDAR, 30)
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2023, 1, 1), date(2023, 2, 1))]


@pytest.mark.parametrize("horizon", [1, 28, 30, 31, 90, 365])
def test_every_month_that_the_days_change_is_made_again(horizon: int) -> None:
    """A day changes the months that end after it, and labels that look at it and are closed."""
    for start in (CALENDAR.start + timedelta(days=7 * n) for n in range(102)):
        window = Window(start, min(start + timedelta(days=10), date(2025, 1, 1)))
        loaded_to = date(2024, 10, 15)
        end = max(window.end, loaded_to)
        first = min(start, loaded_to)
        days = [first + timedelta(days=n) for n in range((end - first).days)]
        changed, as_of = [], next_month(CALENDAR.start)
        while as_of <= end:
            label_end = as_of + timedelta(days=horizon)
            if any(day < as_of or (day < label_end <= end) for day in days):
                changed.append(as_of)
            as_of = next_month(as_of)
        plans = plan_backfill([window], CALENDAR, horizon, history(loaded_to))
        if changed:
            (months,) = planned(plans, MONTHLY_FEATURES)
            assert months is not None
            assert next_month(months.start) == changed[0]
            assert months.end == changed[-1]
        else:
            assert [plan.job for plan in plans] == [LOAD_DAYS, SCORE_DAY]


@pytest.mark.parametrize(
    ("day", "months"),
    [
        ("2024-03-15", None),
        # March is over.
        ("2024-03-31", Window(date(2024, 3, 1), date(2024, 4, 1))),
        # The 30 days after March are.
        ("2024-04-30", Window(date(2024, 3, 1), date(2024, 5, 1))),
        ("2024-05-30", Window(date(2024, 4, 1), date(2024, 5, 1))),
    ],
)
def test_most_new_days_change_no_month(day: str, months: Window | None) -> None:
    window = Window.of_days(day, day)
    plans = plan_backfill([window], CALENDAR, 30, history(window.start))
    assert planned(plans, MONTHLY_FEATURES) == ([months] if months else [])
    assert [plan.job for plan in plans].count(RETRAIN) == bool(months)


def test_labels_that_close_over_days_left_out_are_made() -> None:
    window = Window.of_days("2024-06-20", "2024-06-20")
    plans = plan_backfill([window], CALENDAR, 30, history(date(2024, 4, 10)))
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2024, 3, 1), date(2024, 6, 1))]


def test_an_old_day_makes_all_later_months_and_the_newest_snapshot_again() -> None:
    old = Window.of_days("2023-05-10", "2023-05-10")
    plans = plan_backfill([old], CALENDAR, 30, history(date(2024, 2, 20)))
    assert planned(plans, LOAD_DAYS) == [old]
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2023, 4, 1), date(2024, 2, 1))]
    assert planned(plans, SCORE_DAY) == [Window.of_days("2024-02-19", "2024-02-19")]


def test_every_snapshot_runs_from_the_first_day_to_the_newest_loaded() -> None:
    plans = plan_backfill(
        [Window.of_days("2024-02-01", "2024-02-03")],
        CALENDAR,
        30,
        history(date(2024, 2, 20), date(2024, 2, 9)),
        every_snapshot=True,
    )
    assert planned(plans, SCORE_DAY) == [Window.of_days("2024-02-01", "2024-02-19")]


def test_months_do_not_start_before_the_calendar() -> None:
    calendar = Calendar(date(2024, 1, 17), date(2025, 1, 1))
    plans = plan_backfill([Window.of_days("2024-01-17", "2024-03-01")], calendar, 90)
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2024, 1, 1), date(2024, 3, 1))]


def test_subscribers_come_before_what_publishes_them() -> None:
    day = Window.of_days("2023-01-01", "2023-01-01")
    plans = plan_backfill([day], CALENDAR, 30, own_jobs=["subscriptions"])
    assert [plan.job for plan in plans] == ["subscriptions", LOAD_DAYS, SCORE_DAY]
    changed = plan_backfill([], CALENDAR, 30, history(date(2023, 3, 1)), own_jobs=["subscriptions"])
    assert [plan.job for plan in changed] == ["subscriptions", SCORE_DAY]
    assert planned(changed, SCORE_DAY) == [Window.of_days("2023-02-28", "2023-02-28")]
    assert plan_backfill([], CALENDAR, 30, own_jobs=["subscriptions"]) == [
        RunPlan("subscriptions", {})
    ]


JANUARY = Window(date(2024, 1, 1), date(2024, 2, 1))
MARCH = Window(date(2024, 3, 1), date(2024, 4, 1))


def test_snapshots_after_an_old_day_are_built_again_before_the_newest_which_publishes() -> None:
    before = history(
        date(2024, 2, 20), *(date(2024, 2, day) for day in (1, 2, 9, 19)), date(2023, 5, 9)
    )
    plans = plan_backfill([Window.of_days("2023-05-10", "2023-05-10")], CALENDAR, 30, before)
    again, later, newest = (plan for plan in plans if plan.job == SCORE_DAY)
    assert run_window(again.tags) == Window.of_days("2024-02-01", "2024-02-02")
    assert run_window(later.tags) == Window.of_days("2024-02-09", "2024-02-09")
    assert again.assets == later.assets == SNAPSHOTS
    assert again.tags[KEEP_MODELS_TAG] == later.tags[KEEP_MODELS_TAG] == "true"
    assert run_window(newest.tags) == Window.of_days("2024-02-19", "2024-02-19")
    assert (newest.assets, KEEP_MODELS_TAG in newest.tags) == ((), False)


def test_a_month_that_comes_late_gets_the_snapshot_that_it_would_have_had() -> None:
    before = History(frozenset(MARCH), frozenset({date(2024, 3, 31)}))
    plans = plan_backfill([JANUARY], CALENDAR, 30, before)
    assert planned(plans, SCORE_DAY) == [
        Window.of_days("2024-01-31", "2024-01-31"),
        Window.of_days("2024-03-31", "2024-03-31"),
    ]
    loaded = History(frozenset([*JANUARY, *MARCH]), frozenset({date(2024, 3, 31)}))
    again = plan_backfill([JANUARY], CALENDAR, 30, loaded)
    assert planned(again, SCORE_DAY) == [Window.of_days("2024-03-31", "2024-03-31")]


def test_what_is_stale_is_built_again_though_nothing_is_loaded() -> None:
    stale = Stale((date(2024, 1, 31),), (date(2024, 1, 1), date(2024, 2, 1)))
    plans = plan_backfill([], CALENDAR, 30, history(MARCH.end, stale=stale))
    assert [plan.job for plan in plans] == [MONTHLY_FEATURES, RETRAIN, SCORE_DAY, SCORE_DAY]
    assert planned(plans, MONTHLY_FEATURES) == [Window(date(2024, 1, 1), date(2024, 3, 1))]
    assert planned(plans, SCORE_DAY) == [
        Window.of_days("2024-01-31", "2024-01-31"),
        Window.of_days("2024-03-31", "2024-03-31"),
    ]
