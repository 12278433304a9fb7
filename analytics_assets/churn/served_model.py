"""The registered model behind MLflow's own interface, for `mlflow models serve`.

Belongs here: the two functions that MLflow calls. Does not belong here: the registry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analytics_assets.churn.artifact import load_model
from analytics_assets.churn.model import ChurnModel, risk_band, score


class ServedModel:
    """Predicts a probability and its band for each row of features."""

    def __init__(self, model: ChurnModel) -> None:
        self._model = model

    def predict(self, features: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Predict churn_probability and risk_band for each row of features."""
        probability = score(self._model, features)
        return pd.DataFrame({"churn_probability": probability, "risk_band": risk_band(probability)})


def _load_pyfunc(path: str) -> ServedModel:
    """Load the model from MLflow's data path: the file, or its folder."""
    place = Path(path)
    file = next(place.glob("*.skops")) if place.is_dir() else place
    return ServedModel(load_model(file.read_bytes()))
