"""The model registry: runs, versions and the champion, in MLflow.

Belongs here: everything that uses MLflow, with `run_records`. Does not belong here: which model is
better (`decision`). MLflow takes a second to import, so it is imported at its first use, after its
telemetry has been switched off.

A version is decided once: promoted or refused. A rollback withdraws it. The alias `champion` names
the version in use.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from analytics_assets.addresses import has_password, without_password
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.run_records import BACKTEST_FILE, MODEL_FILE, log_run, write_files
from analytics_assets.churn.version_list import Version, read_list, write_list

CHAMPION = "champion"
PROMOTED, REFUSED, WITHDRAWN = "promoted", "refused", "withdrawn"

MEND = (
    "Run analytics-assets doctor --mend: it sets the database aside and registers the models, "
    "whose files are in the folder mlflow, in a new one. Or restore a backup."
)
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A registry that cannot be reached is an error within seconds, not a run that hangs.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class RegistryError(RuntimeError):
    """The registry cannot be reached, or does not have what was asked for."""


class Registry:
    """Versions of one registered model.

    Creating one switches MLflow's telemetry off for the process, unless its variables are set.

    Args:
        folder: folder of the database and the artifacts, where no server is given.
        uri: address of an MLflow server.
        name: name of the registered model.
    """

    def __init__(self, folder: Path, uri: str | None, name: str) -> None:
        self.name = name
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        self._folder = None if uri else folder
        self._opened: Any = None
        # MLflow reads them when it is imported.
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)

    def exists(self) -> bool:
        """Whether there can be a model; does not import MLflow or create its database."""
        return self._folder is None or (self._folder / "mlflow.db").is_file()

    def versions(self) -> list[Version]:
        """All versions, newest first; none before the first training."""
        if not self.exists():
            return []
        with _clear_errors(self.uri):
            versions = self._client().search_model_versions(f"name = '{self.name}'")
        return sorted(map(_version, versions), key=lambda version: -version.number)

    def has_lost_versions(self) -> bool:
        """Whether versions are listed next to a database that is gone, or has none of them."""
        listed = read_list(self._folder, self.name)[1] if self._folder else []
        return bool(listed) and not self.versions()

    def find(self, model_version: str) -> Version | None:
        """The registered version of a model; None where it is not registered.

        Where the database is damaged, the list next to it knows the version.
        """
        listed = read_list(self._folder, self.name)[1] if self._folder else []
        try:
            versions = self.versions()
        except RegistryError:
            if not listed:
                raise
            versions = []
        return next((v for v in [*versions, *listed] if v.model_version == model_version), None)

    def champion(self) -> Version | None:
        """The version in use; None before the first training."""
        if not self.exists():
            return None
        from mlflow.exceptions import MlflowException

        with _clear_errors(self.uri):
            try:
                return _version(self._client().get_model_version_by_alias(self.name, CHAMPION))
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def good_versions(self) -> list[Version]:
        """The champion, then the earlier champions, newest first."""
        champion = self.champion()
        if champion is None:
            return []
        before = [v for v in self.versions() if v.decision == PROMOTED and v != champion]
        return [champion, *before]

    def load(self, version: Version) -> Any:
        """The model of a version: a `model.ChurnModel`.

        Raises:
            ModelError: the file is missing, damaged or not the one that was registered.
        """
        from analytics_assets.churn.artifact import load_model

        data = self._read(version, f"model/data/{MODEL_FILE}")
        if hashlib.sha256(data).hexdigest() != version.sha256:
            raise ModelError(
                f"The file of version {version.number} ({len(data):,} bytes) is damaged: it is not "
                "what was registered. Restore it, or roll back."
            )
        return load_model(data)

    def load_good(self) -> tuple[Any, Version, list[str]] | None:
        """Load the champion's model, or the newest earlier one that can be read.

        Returns:
            The model, its version, and the errors of the versions that were tried before it; None
            where there is no champion.

        Raises:
            ModelError: no model can be read.
        """
        problems: list[str] = []
        listed = read_list(self._folder, self.name)[0] if self._folder else []
        try:
            candidates = self.good_versions()
            lost = "" if candidates or not listed else f"{self.uri} has lost its versions. {MEND}"
            if candidates and not listed:
                self._write_list()  # of models that were registered before there was a list
        except RegistryError as error:
            if not listed:
                raise
            candidates, lost = [], str(error)
        if lost:
            candidates = listed
            problems.append(lost)
        for version in candidates:
            try:
                return self.load(version), version, problems
            except ModelError as error:
                problems.append(f"version {version.number}: {error}")
        if candidates:
            raise ModelError(f"No model can be read. {' '.join(problems)} Train it again.")
        return None

    def backtest(self, version: Version) -> pd.DataFrame | None:
        """The predictions of a version's backtest; None where the file cannot be read."""
        import io

        try:
            return pd.read_parquet(io.BytesIO(self._read(version, BACKTEST_FILE)))
        except (ModelError, OSError, ValueError):
            return None

    def register(
        self,
        result: Any,
        data: bytes,
        parameters: Mapping[str, Any],
        files: Mapping[str, bytes],
    ) -> Version:
        """Record a training as an MLflow run and its model as a version, once.

        Args:
            result: the `training.TrainingResult`.
            data: bytes of its model, from `artifact.dump_model`.
            parameters: parameters of the run, in addition to those of the result.
            files: further files by path: plots, the model card.
        """
        known = self.find(result.model.version)
        if known is not None:
            return known
        client = self._client()
        with _clear_errors(self.uri), tempfile.TemporaryDirectory() as folder:
            run = client.create_run(self._experiment(), run_name=result.model.version)
            run_id = run.info.run_id
            log_run(client, run_id, result, parameters)
            write_files(Path(folder), result, data, files)
            client.log_artifacts(run_id, folder)
            client.set_terminated(run_id)
            self._create_model()
            registered = client.create_model_version(
                self.name,
                source=f"{run.info.artifact_uri}/model",
                run_id=run_id,
                tags={
                    "model_version": result.model.version,
                    "candidate": result.model.candidate,
                    "trained_to": result.model.trained_to,
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "data_hash": result.data_hash,
                },
            )
        self._write_list()
        return _version(registered)

    def decide(self, version: Version, promote: bool, reason: str) -> Version:
        """Record the decision on a version, and make it the champion if it is promoted."""
        client = self._client()
        number = str(version.number)
        with _clear_errors(self.uri):
            client.set_model_version_tag(self.name, number, "reason", reason)
            if promote:
                client.set_registered_model_alias(self.name, CHAMPION, number)
            # Last, as a version without this tag is decided again.
            decision = PROMOTED if promote else REFUSED
            client.set_model_version_tag(self.name, number, "decision", decision)
            decided = _version(client.get_model_version(self.name, number))
        self._write_list()
        return decided

    def rollback(self, to: int | None = None) -> tuple[Version, Version]:
        """Make an earlier version the champion and withdraw the present one.

        Args:
            to: number of the version; by default that of the champion before.

        Returns:
            The withdrawn version and the new champion.

        Raises:
            RegistryError: there is no champion, or no such version to go back to.
            ModelError: that version cannot be read.
        """
        present = self.champion()
        if present is None:
            raise RegistryError("There is no champion to roll back from. Train a model first.")
        if to is None:
            before = self.good_versions()[1:]
            if not before:
                raise RegistryError(
                    f"Version {present.number} is the only one that ever was champion. Name "
                    "another with --to, or train again."
                )
            target = before[0]
        else:
            target = next((v for v in self.versions() if v.number == to), present)
            if target.number != to or target == present:
                known = [v.number for v in self.versions() if v != present]
                raise RegistryError(f"Version {to} is not one to go back to; there are {known}.")
        self.load(target)
        reason = f"Rolled back from version {present.number}."
        champion = self.decide(target, promote=True, reason=reason)
        with _clear_errors(self.uri):
            client = self._client()
            number = str(present.number)
            client.set_model_version_tag(self.name, number, "decision", WITHDRAWN)
            client.set_model_version_tag(
                self.name, number, "reason", f"Rolled back to version {target.number}."
            )
        self._write_list()
        return present, champion

    def restore(self) -> list[Version]:
        """Register the listed versions again, in a new database: their files are there.

        Returns:
            The versions; none without a list, or where versions are registered.
        """
        good, listed = read_list(self._folder, self.name) if self._folder else ([], [])
        if not listed or self.versions():
            return []
        client = self._client()
        with _clear_errors(self.uri):
            self._experiment()
            self._create_model()
            # MLflow counts from 1, and numbers are never given again.
            for version in sorted(listed, key=lambda one: one.number):
                tags = {
                    name: str(getattr(version, name))
                    for name in ("model_version", "candidate", "trained_to", "sha256")
                } | {name: getattr(version, name) for name in ("decision", "reason")}
                client.create_model_version(
                    self.name,
                    source=version.source,
                    tags={name: value for name, value in tags.items() if value},
                )
            by_version = {v.model_version: v.number for v in self.versions()}
            if good:
                number = str(by_version[good[0].model_version])
                client.set_registered_model_alias(self.name, CHAMPION, number)
        self._write_list()
        return self.versions()

    def _write_list(self) -> None:
        if self._folder:
            write_list(self._folder, self.name, self.good_versions(), self.versions())

    def _read(self, version: Version, path: str) -> bytes:
        import mlflow
        from mlflow.exceptions import MlflowException

        uri = f"{version.source.removesuffix('/model')}/{path}"
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=folder, tracking_uri=self.uri
                )
                return Path(file).read_bytes()
        except (MlflowException, OSError) as error:
            place = without_password(uri, self.uri)
            raise ModelError(f"{place} cannot be read ({type(error).__name__}).") from None

    def _experiment(self) -> str:
        client = self._client()
        experiment = client.get_experiment_by_name(self.name)
        if experiment is not None:
            return experiment.experiment_id
        place = str(self._folder / "artifacts") if self._folder else None
        return client.create_experiment(self.name, artifact_location=place)

    def _create_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client().create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _client(self) -> Any:
        if self._opened is None:
            import logging

            from mlflow import MlflowClient

            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
            logging.getLogger("alembic").setLevel(logging.WARNING)
            if self._folder:
                self._folder.mkdir(parents=True, exist_ok=True)
            with _clear_errors(self.uri):
                self._opened = MlflowClient(self.uri, self.uri)
        return self._opened


def _version(registered: Any) -> Version:
    tags = registered.tags
    return Version(
        number=int(registered.version),
        model_version=tags.get("model_version", ""),
        decision=tags.get("decision", ""),
        reason=tags.get("reason", ""),
        candidate=tags.get("candidate", ""),
        trained_to=tags.get("trained_to", ""),
        source=registered.source,
        sha256=tags.get("sha256", ""),
    )


@contextmanager
def _clear_errors(uri: str) -> Iterator[None]:
    """Turn MLflow's errors into one that names the registry and says what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except DatabaseError as error:
        raise RegistryError(
            f"The database of the model registry, {uri}, is damaged: {error.orig}. {MEND}"
        ) from error
    except MlflowException as error:
        address = uri.partition("://")[2].rpartition("@")[2] if has_password(uri) else uri
        first = without_password(str(error).splitlines()[0], uri)
        if "malformed" in first or "not a database" in first:  # SQLite's words
            raise RegistryError(
                f"The database of the model registry, {address}, is damaged: {first} {MEND}"
            ) from None
        # Not chained: MLflow quotes the address, and so the password.
        raise RegistryError(
            f"The model registry at {address} does not answer as it should: {first} "
            "Check ANALYTICS_MLFLOW_URI, or the folder mlflow of ANALYTICS_HOME."
        ) from None
