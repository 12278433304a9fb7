"""The records of a training in its MLflow run: parameters, measures, files.

Belongs here: the form of the records. Does not belong here: runs, versions and the champion
(`registry`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analytics_assets.churn.parameters import parameters as parameters_of

PARAMS_AT_ONCE = 100  # of a request to MLflow
MODEL_FILE = "model.skops"
BACKTEST_FILE = "backtest/predictions.parquet"


def log_run(client: Any, run_id: str, result: Any, parameters: Mapping[str, Any]) -> None:
    """Log the parameters and measures of a training to its MLflow run."""
    from mlflow.entities import Metric, Param

    described = {
        **parameters,
        "candidate": result.chosen,
        "model_version": result.model.version,
        "data_hash": result.data_hash,
        "first_as_of": result.trained_on[0],
        "last_as_of": result.trained_on[1],
        "trained_to": result.model.trained_to,
        "tests": ", ".join(dict.fromkeys(result.backtest["test"])),
        **parameters_of(result.model),
    }
    measured = {
        f"{row['candidate']}.{name}": value
        for row in result.candidates.to_dict("records")
        for name, value in row.items()
        if isinstance(value, float) and value == value
    }
    chosen = f"{result.chosen}."
    measured |= {k.removeprefix(chosen): v for k, v in measured.items() if k.startswith(chosen)}
    params = [Param(name, str(value)) for name, value in described.items()]
    client.log_batch(run_id, [Metric(name, value, 0, 0) for name, value in measured.items()])
    for first in range(0, len(params), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[first : first + PARAMS_AT_ONCE])


def write_files(folder: Path, result: Any, data: bytes, files: Mapping[str, bytes]) -> None:
    """Write the files of a run: the model in the form of `mlflow models serve`, and records."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    model = result.model
    kinds = {name: "string" if name in model.categorical else "double" for name in model.inputs}
    stored = folder / "model" / "data" / MODEL_FILE
    stored.parent.mkdir(parents=True)
    stored.write_bytes(data)
    expected: list[Any] = [ColSpec(kind, name) for name, kind in kinds.items()]
    answer: list[Any] = [ColSpec("double", "churn_probability"), ColSpec("string", "risk_band")]
    signature = ModelSignature(inputs=Schema(expected), outputs=Schema(answer))
    # Not `save_model`: it searches all installed packages for the one that this code is from.
    described = Model(signature=signature)
    pyfunc.add_to_model(
        described,
        loader_module="analytics_assets.churn.served_model",
        data=f"data/{MODEL_FILE}",
    )
    described.save(str(folder / "model" / "MLmodel"))
    requirements = folder / "model" / "requirements.txt"
    requirements.write_text("analytics_assets\n", encoding="utf-8")
    (folder / "backtest").mkdir()
    result.predictions.to_parquet(folder / BACKTEST_FILE, index=False)
    for name in ("candidates", "backtest", "reliability", "lift", "profit"):
        getattr(result, name).to_csv(folder / "backtest" / f"{name}.csv", index=False)
    (folder / "features.json").write_text(json.dumps(kinds, indent=1), encoding="utf-8")
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
