"""How long it takes to score a million customers with their reasons, and how much memory.

Run with `python benchmarks/churn.py [CUSTOMERS]`. Generated customers are scored as in the asset:
read in batches, probability, band, reasons, expected purchases and values. Prints seconds, CPU
seconds and peak memory, and the ratio to scoring the same customers at once, without reasons and
values. Limits for a million: 30 s and 4 GB.
"""

import resource
import sys
import tempfile
import time
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from analytics_assets.assets.churn.model import FEATURES
from analytics_assets.assets.churn.predictions import predicted
from analytics_assets.churn.model import score
from analytics_assets.churn.training import Plan, train
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.marts import CustomerFeatures
from analytics_assets.warehouse.connection import Warehouse

TRAINED_ON, HORIZON = 20_000, 90


def features(customers: int, seed: int) -> pd.DataFrame:
    """Customers with every feature: consistent purchase histories, the rest at random."""
    rng = np.random.default_rng(seed)
    silence = rng.integers(1, 400, customers)
    days = rng.negative_binomial(1, 0.25, customers) + 1
    gap = rng.integers(3, 60, customers)
    frame = pd.DataFrame(
        {name: rng.gamma(2, 20, customers).round() for name in CustomerFeatures.to_schema().columns}
    )
    return frame.assign(
        customer_id=[f"C{n:07d}" for n in range(customers)],
        active_days=days,
        sale_orders=days,
        days_since_last_order=silence,
        tenure_days=silence + gap * (days - 1),
        gross_amount=(days * rng.gamma(3, 15, customers)).round(2) + 1,
        churn_risk_score=np.minimum(silence / 200, 1.0),
    )


def fill(warehouse: Warehouse, frame: pd.DataFrame) -> None:
    """Store the snapshot of a day; columns that scoring does not read are null."""
    table = TABLES["customer_analytics_daily"]
    warehouse.prepare()
    with warehouse.transaction() as session:
        session.execute(table.ddl)
        session.register("generated", frame)
        read = ["customer_id", *FEATURES.inputs]
        columns = ", ".join(f'"{name}"' for name in read)
        session.execute(
            f"INSERT INTO {table.relation} (snapshot_date, as_of, {columns}) "
            f"SELECT DATE '2024-12-31', DATE '2025-01-01', {columns} FROM generated"
        )


def main(customers: int) -> None:
    """Train on few, score many."""
    known = pd.concat(
        features(TRAINED_ON // 4, seed).assign(as_of=as_of)
        for seed, as_of in enumerate(pd.date_range("2024-01-01", periods=4, freq="3MS"))
    )
    rng = np.random.default_rng(9)
    risk = known["days_since_last_order"] / 60 - 0.5 * known["active_days"]
    known["churned"] = rng.random(len(known)) < 1 / (1 + np.exp(-risk))
    known["customer_value"] = 50.0
    model = train(known, FEATURES, Plan(HORIZON, seed=7)).model
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder) / "warehouse.duckdb")
        fill(warehouse, features(customers, seed=99))
        day = Window(date(2024, 12, 31), date(2025, 1, 1))
        with warehouse.read() as session:
            began, before = time.perf_counter(), time.process_time()
            predictions = predicted(session, model, day)
            seconds, cpu = time.perf_counter() - began, time.process_time() - before
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
            frame = session.frame("FROM marts.customer_analytics_daily")
        before = time.process_time()
        score(model, frame, batch_rows=len(frame))
        plain = time.process_time() - before
    assert len(predictions) == customers
    print(
        f"{customers:,} customers by {model.candidate}: {seconds:.1f} s ({cpu:.1f} s of CPU), "
        f"{peak:.1f} GB at the peak; {cpu / plain:.1f} x the CPU of the probability alone"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
