"""What `mlflow models serve` loads: the registered model behind MLflow's own interface.

Here: the two functions that MLflow looks for. Not here: the registry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analytics_assets.churn.artifact import load_model
from analytics_assets.churn.model import ChurnModel, risk_band, score


class ServedModel:
    """Answers with a probability and its band for each row of features."""

    def __init__(self, model: ChurnModel) -> None:
        self._model = model

    def predict(self, features: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Columns churn_probability and risk_band, a row for each row of features."""
        probability = score(self._model, features)
        return pd.DataFrame({"churn_probability": probability, "risk_band": risk_band(probability)})


def _load_pyfunc(path: str) -> ServedModel:
    """The model in MLflow's data path: the file, or the folder that holds it."""
    place = Path(path)
    file = next(place.glob("*.skops")) if place.is_dir() else place
    return ServedModel(load_model(file.read_bytes()))
