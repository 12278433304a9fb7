"""The limit: the project's outputs by one hand-written DuckDB script and the same training.

Run with `python benchmarks/limit.py FOLDER FILE END`. `limit.sql` makes every table; then the
churn model is trained as the project trains it, and scores the newest day. No checks, no Dagster,
no dbt, no registry, no reasons of scores, no published copy.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import duckdb

from analytics_assets.assets.churn.model import FEATURES, _training_rows, training_plan
from analytics_assets.churn.model import score
from analytics_assets.churn.training import train
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.duckdb_engine import DuckDBSession


def main(shop: Path, file: Path, end: str) -> None:
    settings = load_settings({})
    script = Path(__file__).with_name("limit.sql").read_text()
    for name, value in {
        "folder": str(shop), "end": end, "horizon": str(settings.churn_horizon_days)
    }.items():  # fmt: skip
        script = script.replace(f"{{{name}}}", value)
    config = {"memory_limit": settings.memory_limit, "threads": str(settings.threads)}
    parts: dict[str, float] = {}

    def took(part: str, began: float) -> float:
        now = time.perf_counter()
        parts[part] = parts.get(part, 0) + now - began
        return now

    clock = time.perf_counter()
    with duckdb.connect(str(file), config=config) as connection:
        connection.execute("SET preserve_insertion_order = false")
        for statement in duckdb.extract_statements(script):
            connection.execute(statement)
            words = statement.query.split("CREATE TABLE ")
            part = words[1].split()[0].split(".")[1] if len(words) > 1 else "between"
            clock = took(part, clock)
        rows = _training_rows(DuckDBSession(connection), settings)
        model = train(rows, FEATURES, training_plan(settings)).model
        clock = took("training", clock)
        snapshot = connection.execute(
            "FROM marts.customer_analytics_daily WHERE sale_orders > 0"
        ).fetchdf()
        scores = snapshot[["customer_id"]].assign(churn_probability=score(model, snapshot))
        connection.register("scores", scores)
        connection.execute("CREATE TABLE churn.churn_predictions AS FROM scores")
        took("scores", clock)
    print(json.dumps({name: round(seconds, 2) for name, seconds in parts.items()}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
