"""The CDNOW sample as customers' histories, counted from its transactions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import pytest

from analytics_assets_tests.conftest import REPOSITORY

DATA = REPOSITORY.parent / "shared" / "data" / "cdnow"
CALIBRATION_ENDS = date(1997, 9, 30)
DATA_END = date(1998, 6, 30)


def needs_cdnow(test: Callable) -> Callable:
    absent = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
    return pytest.mark.real_data(absent(test))


@dataclass(frozen=True, eq=False)
class Cdnow:
    """Arrays by customer, in order of id; weeks and dollars.

    Several purchases on a day are one. The first one is no repeat purchase and its value is not in
    the mean. `later` and `later_value` are of the 39 weeks after the calibration.
    """

    frequency: np.ndarray
    recency: np.ndarray
    age: np.ndarray
    mean_value: np.ndarray
    later: np.ndarray
    later_value: np.ndarray


@cache
def cdnow() -> Cdnow:
    by_customer: dict[int, dict[date, float]] = {}
    for line in (DATA / "CDNOW_sample.txt").read_text().splitlines():
        _, customer, day, _, dollars = line.split()
        days = by_customer.setdefault(int(customer), {})
        when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
        days[when] = days.get(when, 0.0) + float(dollars)
    rows = []
    for customer in sorted(by_customer):
        days = by_customer[customer]
        first = min(days)
        repeats = [day for day in days if first < day <= CALIBRATION_ENDS]
        later = [day for day in days if CALIBRATION_ENDS < day <= DATA_END]
        rows.append(
            (
                len(repeats),
                (max(repeats, default=first) - first).days / 7,
                (CALIBRATION_ENDS - first).days / 7,
                sum(days[day] for day in repeats) / max(len(repeats), 1),
                len(later),
                sum(days[day] for day in later),
            )
        )
    return Cdnow(*np.array(rows, dtype=float).T)


def published() -> np.ndarray:
    """ID, x, t_x, T, zbar as published, rounded to cents and hundredths of a week."""
    file = DATA / "cdnow_customers_summary_with_transactions.csv"
    return np.genfromtxt(file, delimiter=",", names=True)
