"""The build of the tests of the API, and clients of an API over it."""

from ..api.conftest import client_of, home, published

__all__ = ["client_of", "home", "published"]
