"""Where changed customers go: a webhook, files in a folder, a table of the team's PostgreSQL.

Belongs here: how each takes rows so that a second time changes nothing. Does not belong here: which
rows (`activation`).
"""

import csv
import hashlib
import http.client
import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from analytics_assets.quoting import without_formula
from analytics_assets.serving.activation import ActivationError, CustomerRow, Destination
from analytics_assets.settings import Settings
from analytics_assets.sources.readers.databases import first_line

COLUMNS = tuple(column.name for column in fields(CustomerRow))
TIMEOUT_SECONDS = 30.0
AGAIN = "What was taken is in the ledger; materialize activation again for the rest."
TABLE = "customer_activation"
CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    customer_id text PRIMARY KEY, build text NOT NULL, segment_on date NOT NULL,
    segment text NOT NULL, value_segment text NOT NULL, predicted_on date,
    churn_probability double precision, risk_band text)"""
UPSERT = (
    f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(f'${place}' for place in range(1, len(COLUMNS) + 1))}) "
    "ON CONFLICT (customer_id) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])}"
)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would become a GET, and nothing would have been delivered."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


@dataclass(frozen=True)
class Webhook:
    """An address that takes `{"build": ..., "customers": [...]}` as JSON.

    The header `Idempotency-Key` is the same when a batch comes a second time.
    """

    url: str = field(repr=False)
    name: str = "webhook"
    batch: int | None = 500

    def send(self, build: str, rows: Sequence[CustomerRow]) -> None:
        """Post a batch."""
        customers = [asdict(row) for row in rows]
        body = json.dumps({"build": build, "customers": customers}, default=str).encode()
        key = f"{build}-{hashlib.sha256(body).hexdigest()[:32]}"
        request = urllib.request.Request(  # noqa: S310  (the settings allow http and https only)
            self.url,
            data=body,
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
            method="POST",
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS):
                return
        except urllib.error.HTTPError as error:
            said = f"answered {error.code}"
        except (OSError, http.client.HTTPException) as error:
            said = f"could not be reached ({type(error).__name__})"
        raise ActivationError(
            f"The webhook of activation {said}. See whether its server is up, and whether "
            f"ANALYTICS_ACTIVATION_WEBHOOK_URL is right. {AGAIN}"
        )

    def forget(self, customers: Sequence[str]) -> None:
        """Nothing is sent of whom nothing may be sent."""


@dataclass(frozen=True)
class CsvDrop:
    """A folder that gets a file for each delivery, whole or not at all."""

    folder: Path
    name: str = "csv"
    batch: int | None = None

    def send(self, build: str, rows: Sequence[CustomerRow]) -> None:
        """Write a file; the same rows have the same name."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in rows)
        body = text.getvalue().encode()
        name = f"customers-{build}-{hashlib.sha256(body).hexdigest()[:8]}.csv"
        part = self.folder / f".{name}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        except OSError as error:
            raise ActivationError(
                f"{self.folder} cannot be written: {error.strerror}. Correct "
                f"ANALYTICS_ACTIVATION_FOLDER, or free its disk. {AGAIN}"
            ) from error

    def forget(self, customers: Sequence[str]) -> None:
        """A file that is out is the receiver's."""


@dataclass(frozen=True)
class PostgresTable:
    """The table customer_activation, with the newest row of each customer."""

    address: str = field(repr=False)
    name: str = "postgres"
    batch: int | None = 20_000

    def send(self, build: str, rows: Sequence[CustomerRow]) -> None:
        """Insert or replace rows, all or none."""
        import pyarrow as pa

        values = pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema())
        with self._cursor() as cursor:
            cursor.executemany(UPSERT, values)

    def forget(self, customers: Sequence[str]) -> None:
        """Delete their rows."""
        import pyarrow as pa

        with self._cursor() as cursor:
            cursor.executemany(
                f"DELETE FROM {TABLE} WHERE customer_id = $1",
                pa.table({"customer_id": pa.array(customers, pa.string())}),
            )

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            import adbc_driver_postgresql.dbapi as postgres
        except ImportError as error:
            raise ActivationError(
                "Writing to PostgreSQL needs the extra postgres: install "
                "analytics_assets[postgres]."
            ) from error
        try:
            with postgres.connect(self.address) as connection, connection.cursor() as cursor:
                cursor.execute(CREATE)
                yield cursor
                connection.commit()
        except postgres.Error as error:
            # Not chained: the message may contain the address, and so the password.
            raise ActivationError(
                f"{TABLE} in PostgreSQL cannot be written: {first_line(error, self.address)}. "
                f"Check ANALYTICS_ACTIVATION_POSTGRES_URL, and what its user may write. {AGAIN}"
            ) from None


def destinations(settings: Settings) -> list[Destination]:
    """The destinations that are set."""
    found: list[Destination] = []
    if settings.activation_webhook_url:
        found.append(Webhook(settings.activation_webhook_url))
    if settings.activation_folder:
        found.append(CsvDrop(settings.activation_folder))
    if settings.activation_postgres_url:
        found.append(PostgresTable(settings.activation_postgres_url))
    return found


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return without_formula(value) if isinstance(value, str) else value


def _schema() -> Any:
    import pyarrow as pa

    types = dict.fromkeys(COLUMNS, pa.string())
    types |= {"segment_on": pa.date32(), "predicted_on": pa.date32()}
    return pa.schema(types | {"churn_probability": pa.float64()})
