"""The limit: the project's outputs by one hand-written DuckDB script and the same training.

Run with `python benchmarks/limit.py FOLDER FILE END`. `limit.sql` builds every table; then the
churn model is trained as in the project, and scores the newest day. No checks, no Dagster,
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
    spent: dict[str, float] = {}

    def took(step: str, began: float) -> float:
        now = time.perf_counter()
        spent[step] = spent.get(step, 0) + now - began
        return now

    clock = time.perf_counter()
    with duckdb.connect(str(file), config=config) as connection:
        connection.execute("SET preserve_insertion_order = false")
        for statement in duckdb.extract_statements(script):
            connection.execute(statement)
            _, create, rest = statement.query.partition("CREATE TABLE ")
            clock = took(rest.split()[0].split(".")[1] if create else "between", clock)
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
    print(json.dumps({name: round(seconds, 2) for name, seconds in spent.items()}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
