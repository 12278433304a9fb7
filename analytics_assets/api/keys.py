"""API keys: made, listed, withdrawn, and recognised.

Belongs here: the file of keys. A key is 32 random bytes, so a plain hash of it cannot be reversed;
only the hash is stored, and the key is shown once.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from analytics_assets.api.access import Caller, checked_scopes

PREFIX = "aa"
FILE = "keys.json"


class KeyFileError(RuntimeError):
    """The file of keys cannot be used, or has no such key; the message says what to do."""


@dataclass(frozen=True)
class Key:
    """A key, without its secret.

    Attributes:
        id: what it is withdrawn by.
        name: whose it is, or what for.
        sha256: hash of the secret.
        scopes: what it allows.
        rate: requests a minute; None for the default.
        created_at: when it was made, UTC.
        expires_at: when it stops to work, UTC; None for never.
        withdrawn_at: when it was withdrawn, UTC; None where it was not.
    """

    id: str
    name: str
    sha256: str
    scopes: list[str]
    rate: int | None
    created_at: str
    expires_at: str | None = None
    withdrawn_at: str | None = None

    def works(self, now: datetime) -> bool:
        """Whether it is accepted at a time."""
        expired = self.expires_at is not None and now >= datetime.fromisoformat(self.expires_at)
        return not expired and self.withdrawn_at is None


class Keys:
    """The keys of a home.

    Args:
        folder: folder of the file of keys.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, tuple[Key, Caller]] = {}

    @property
    def exist(self) -> bool:
        """Whether there ever was a key: if so, nobody is let in without one."""
        return self._file.exists()

    def all(self) -> list[Key]:
        """All keys, the oldest first, withdrawn ones too.

        Raises:
            KeyFileError: the file is damaged.
        """
        if not self._file.exists():
            return []
        try:
            return [Key(**entry) for entry in json.loads(self._file.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise KeyFileError(
                f"{self._file} is damaged. Restore it from a backup, or remove it and make keys."
            ) from error

    def create(
        self, name: str, scopes: list[str], rate: int | None = None, days: int | None = None
    ) -> str:
        """Make a key.

        Args:
            name: whose it is, or what for.
            scopes: what it allows.
            rate: requests a minute; None for the default.
            days: days until it expires; None for never.

        Returns:
            The key itself, which is stored nowhere.

        Raises:
            ScopeError: a scope does not exist.
        """
        now = datetime.now(UTC)
        secret = secrets.token_urlsafe(32)
        with self._changing() as keys:
            key = Key(
                id=secrets.token_hex(4),
                name=name,
                sha256=_hash(secret),
                scopes=sorted(checked_scopes(scopes)),
                rate=rate,
                created_at=now.isoformat(timespec="seconds"),
                expires_at=(
                    None if days is None else (now + timedelta(days)).isoformat(timespec="seconds")
                ),
            )
            keys.append(key)
        return f"{PREFIX}_{key.id}_{secret}"

    def withdraw(self, key_id: str) -> Key:
        """Withdraw a key; a running API refuses it from its next request on.

        Raises:
            KeyFileError: there is no such key.
        """
        with self._changing() as keys:
            for number, key in enumerate(keys):
                if key.id == key_id:
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    keys[number] = replace(key, withdrawn_at=key.withdrawn_at or now)
                    return keys[number]
            raise KeyFileError(
                f"There is no key {key_id}. Look it up with `analytics-assets api-keys list`."
            )

    def caller(self, token: str) -> Caller | None:
        """Who has a key; None where it is none, has expired or is withdrawn."""
        match = re.fullmatch(rf"{PREFIX}_([0-9a-f]{{8}})_([\w-]{{43}})", token, re.ASCII)
        if not match:
            return None
        self._refresh()
        key, caller = self._keys.get(match[1], (None, None))
        # Compared in any case, so that time does not tell whether the id exists.
        same = hmac.compare_digest(key.sha256 if key else "", _hash(match[2]))
        return caller if key and same and key.works(datetime.now(UTC)) else None

    def _refresh(self) -> None:
        try:
            status = os.stat(self._file)  # noqa: PTH116 (on each request)
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return
        if (seen := (status.st_ino, status.st_mtime_ns)) != self._seen:
            self._keys = {
                key.id: (key, Caller(f"key:{key.id}", frozenset(key.scopes), key.rate))
                for key in self.all()
            }
            self._seen = seen

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, to be changed; written when the block ends, one process at a time."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with (self._file.parent / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.all()
            yield keys
            aside = self._file.parent / f".{FILE}"
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump([asdict(key) for key in keys], opened, indent=1)
                opened.flush()
                os.fsync(opened.fileno())
            aside.replace(self._file)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
