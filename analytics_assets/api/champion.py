"""The champion: the model that scores posted records.

Belongs here: loading it, and noticing that another version has become it.
"""

import threading
import time
from typing import Any

from analytics_assets.api.problems import ProblemError
from analytics_assets.settings import Settings

CHECKED_EVERY = 30.0  # seconds between looks at which version it is


class Champion:
    """The champion, loaded once for each version.

    Args:
        settings: the settings, which say where the registry is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._checked_at = -CHECKED_EVERY
        self._loaded: tuple[Any, Any] | None = None

    def get(self) -> tuple[Any, Any]:
        """The model and its version.

        Raises:
            ProblemError: there is none, or it cannot be read.
        """
        from analytics_assets.churn.data import ModelError
        from analytics_assets.churn.registry import Registry, RegistryError

        with self._lock:
            if time.monotonic() - self._checked_at < CHECKED_EVERY and self._loaded:
                return self._loaded
            try:
                registry = Registry(
                    self._settings.mlflow_dir,
                    self._settings.mlflow_uri,
                    self._settings.mlflow_model,
                )
                version = registry.champion()
                if version is None:
                    raise ProblemError(
                        404, "no-model", "There is no champion yet. Train a model first."
                    )
                if self._loaded is None or self._loaded[1] != version:
                    self._loaded = (registry.load(version), version)
            except (RegistryError, ModelError) as error:
                raise ProblemError(
                    503,
                    "model-unreadable",
                    "The champion cannot be read. Try again later; the operator looks with "
                    "`analytics-assets model list`.",
                    {"Retry-After": "30"},
                ) from error
            self._checked_at = time.monotonic()
            return self._loaded
