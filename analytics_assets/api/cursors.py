"""Cursors: the place of a page in a build, signed.

Belongs here: making and reading cursors. A cursor contains the build, a hash of the query and the
place of a row: no value of the data. It is signed, so that only what this API has given out is
accepted; the key of the signature is in the home, so a cursor survives a restart.
"""

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from analytics_assets.api.problems import bad_request

_SIGNATURE = 16


@dataclass(frozen=True)
class Cursor:
    """Where a page begins.

    Attributes:
        build: number of the build.
        mark: the build's mark.
        query: fingerprint of the query.
        place: place of the last row before the page.
    """

    build: str
    mark: str
    query: str
    place: int


class Cursors:
    """Signs cursors and reads signed ones.

    Args:
        secret: key of the signature.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, cursor: Cursor) -> str:
        """The cursor as text for a URL."""
        body = f"{cursor.build} {cursor.mark} {cursor.query} {cursor.place}".encode()
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, text: str) -> Cursor:
        """A cursor from its text.

        Raises:
            ProblemError: this API has not made it.
        """
        try:
            signed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", True)
        except ValueError:
            signed = b""
        signature, body = signed[:_SIGNATURE], signed[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise bad_request(
                "wrong-cursor",
                "The cursor is none of this API's, or has been changed. Start again without it.",
            )
        build, mark, query, place = body.decode().split(" ")
        return Cursor(build, mark, query, int(place))

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._secret, body, hashlib.sha256).digest()[:_SIGNATURE]


def secret_of(folder: Path) -> bytes:
    """The key of the signatures in a folder; written once, readable by its owner alone."""
    file = folder / "cursor.key"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        # Written aside and linked: of two processes that begin together, one wins.
        aside = folder / f".cursor.key.{os.getpid()}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(32))
        try:
            os.link(aside, file)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return file.read_bytes()
