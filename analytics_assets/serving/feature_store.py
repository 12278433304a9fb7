"""The newest features by customer in Redis, for models that are served elsewhere.

Belongs here: writing the features of a build, and reading them. Does not belong here: which
features there are (`features`).

The hash `analytics:features` names the build that counts; a customer's features are the JSON text
`analytics:features:<build>:<customer>`. A build is written as a whole before it is named, and the
one before goes away after that: nobody reads a mixture. Keys have no end: features that are too old
are told apart by `expires_at`, instead of being gone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from analytics_assets.serving.features import is_expired

POINTER = "analytics:features"
PIPELINED = 2_000
TIMEOUT_SECONDS = 5.0
ATTEMPTS = 5  # a build may be replaced while its features are read


class FeatureStoreError(RuntimeError):
    """The store does not answer, or has nothing; the message says what to do."""


class FeatureStore:
    """Features by customer in Redis.

    Args:
        url: address of Redis.

    Raises:
        FeatureStoreError: the package redis is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise FeatureStoreError(
                "Features in Redis need the package redis: install the extra features "
                "(pip install 'analytics_assets[features]')."
            ) from error
        self._errors = redis.RedisError
        self._client: Any = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        self._build: str | None = None

    def publish(self, build: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
        """Write the features of a build, name it, and remove those of other builds.

        Args:
            build: the build.
            rows: customers with their features.

        Returns:
            The number of customers.

        Raises:
            FeatureStoreError: Redis does not take them; readers have the build before.
        """
        try:
            customers = set()
            pipeline = self._client.pipeline(transaction=False)
            for customer, features in rows:
                pipeline.set(_key(build, customer), json.dumps(features))
                customers.add(customer)
                if len(customers) % PIPELINED == 0:
                    pipeline.execute()
            pipeline.execute()
            named = {"build": build, "customers": len(customers), "written_at": _now()}
            self._client.hset(POINTER, mapping=named)
            self._remove_others(build, customers)
        except self._errors as error:
            raise FeatureStoreError(
                f"Redis did not take the features of build {build}: {error}. Readers have those "
                "of the build before. See whether it is up and has memory, then materialize "
                "feature_lookup again."
            ) from error
        return len(customers)

    def read(
        self, customers: Sequence[str], now: datetime | None = None
    ) -> list[dict[str, Any] | None]:
        """The newest features of some customers, all of one build; None for who is not known.

        Args:
            customers: the customers.
            now: the time that decides what is expired.

        Raises:
            FeatureStoreError: Redis does not answer, or nothing was written there.
        """
        now = now or datetime.now(UTC)
        try:
            for _ in range(ATTEMPTS):
                build: str | None = self._build or self._client.hget(POINTER, "build")
                if build is None:
                    raise FeatureStoreError(
                        "There are no features in Redis. Set ANALYTICS_FEATURES_REDIS_URL where "
                        "Dagster runs, and materialize feature_lookup."
                    )
                # One step for Redis: the build that counts is the one that was read.
                pipeline = self._client.pipeline(transaction=True)
                pipeline.mget([_key(build, customer) for customer in customers])
                pipeline.hget(POINTER, "build")
                texts, self._build = pipeline.execute()
                if self._build == build:
                    found = [json.loads(text) if text else None for text in texts]
                    return [row and {**row, "is_expired": is_expired(row, now)} for row in found]
        except self._errors as error:
            raise FeatureStoreError(
                "Redis does not answer, so there are no features. See whether it is up, and "
                "whether ANALYTICS_FEATURES_REDIS_URL and its password are right."
            ) from error
        raise FeatureStoreError(
            "Builds were replaced as fast as they could be read. Try again; if it goes on, see "
            "what writes to this Redis."
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _remove_others(self, build: str, customers: set[str]) -> None:
        """Remove the keys of other builds, and those of this one that were not written now."""
        gone: list[str] = []
        for key in self._client.scan_iter(f"{POINTER}:*", count=10_000):
            of, _, customer = key.removeprefix(f"{POINTER}:").partition(":")
            if of != build or customer not in customers:
                gone.append(key)
                if len(gone) == PIPELINED:
                    self._client.unlink(*gone)
                    gone.clear()
        if gone:
            self._client.unlink(*gone)


def _key(build: str, customer: str) -> str:
    return f"{POINTER}:{build}:{customer}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
