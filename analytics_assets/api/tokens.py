"""OIDC bearer tokens: signed by the team's identity provider.

Belongs here: checking a token and reading its scopes. Does not belong here: getting one.

A token is accepted if its signature, issuer, audience and times are right. Its claim `scope` (or
`scp`, a list or words) has the same scopes as a key; words that are none of ours are left out.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

from analytics_assets.api.access import Caller, ScopeError, checked_scopes
from analytics_assets.api.problems import ProblemError

# Signatures with a public key: with a shared secret, whoever checks tokens could make them.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
LEEWAY = 30
LONGEST = 8192
KEYS_LAST = 300.0  # seconds until the provider's keys are read again
RETRY_AFTER = 10.0  # seconds in which a provider that failed is not asked again


class Tokens:
    """The tokens of one issuer.

    Args:
        issuer: the issuer, as its tokens name it.
        audience: the audience, as tokens for this API name it.
        jwks: address of the issuer's public keys, or a file of them.
    """

    def __init__(self, issuer: str, audience: str, jwks: str) -> None:
        self._issuer, self._audience, self._jwks = issuer, audience, jwks
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._read_at = -KEYS_LAST
        self._failed_at = -RETRY_AFTER

    def caller(self, token: str) -> Caller | None:
        """Who has a token; None where it is not accepted. May ask the issuer for its keys.

        Raises:
            ProblemError: the issuer's keys cannot be read.
        """
        import jwt

        if len(token) > LONGEST:
            return None
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return Caller(f"oidc:{claims['sub']}", _scopes(claims))

    def _key(self, key_id: Any) -> Any:
        """The public key that signed a token; keys are read again where it is a new one."""
        now = time.monotonic()
        with self._lock:
            stale = now - self._read_at >= KEYS_LAST
            # A wrong key id must not make us ask the issuer on each request.
            unknown = str(key_id) not in self._keys and now - self._read_at >= RETRY_AFTER
            if (stale or unknown) and now - self._failed_at >= RETRY_AFTER:
                try:
                    self._keys = self._read()
                    self._read_at = now
                except Exception as error:
                    self._failed_at = now
                    if not self._keys:
                        raise _unreachable() from error
            elif not self._keys:
                raise _unreachable()
            return self._keys.get(str(key_id))

    def _read(self) -> dict[str, Any]:
        import jwt

        if "://" not in self._jwks:
            keys = jwt.PyJWKSet.from_dict(json.loads(Path(self._jwks).read_text(encoding="utf-8")))
        else:
            keys = jwt.PyJWKClient(self._jwks, cache_jwk_set=False, timeout=5).get_jwk_set(True)
        return {str(key.key_id): key for key in keys.keys if key.public_key_use in (None, "sig")}


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    found = claims.get("scope", claims.get("scp", []))
    words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    ours: set[str] = set()
    for word in words:
        try:
            ours |= checked_scopes([str(word)])
        except ScopeError:
            continue
    return frozenset(ours)


def _unreachable() -> ProblemError:
    return ProblemError(
        503,
        "issuer-unreachable",
        "The keys of the token issuer cannot be read, so no token can be checked. Try again later; "
        "the operator checks ANALYTICS_API_OIDC_JWKS.",
        {"Retry-After": str(int(RETRY_AFTER))},
    )
