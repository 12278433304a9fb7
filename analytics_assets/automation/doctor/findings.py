"""What a check of the doctor finds, and what all checks share.

Belongs here: the result of a check, and how a check that breaks off is reported. Does not belong
here: the checks.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dagster import DagsterInstance, Definitions

from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.configured import configured_sources
from analytics_assets.warehouse.connection import Warehouse

OK, WARNING, ERROR = "ok", "warning", "error"
_PASSWORD = re.compile(r"(://[^/@\s:]*):[^@\s]*@")


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Attributes:
        check: name of the check.
        state: ok, warning or error.
        text: what it found, on one line.
        remedy: what to do; empty where nothing is to be done.
        mended: what was done about it; the state is that afterwards.
    """

    check: str
    state: str
    text: str
    remedy: str = ""
    mended: str = ""


class NotCheckedError(RuntimeError):
    """A check needs something that is broken, about which another check says more."""


class Context:
    """What the checks look at. Nothing is opened before a check asks for it.

    Args:
        settings: the settings.
        mend: whether checks mend what is safe.
        instance: opens the Dagster instance.
        composed: builds the definitions.
        warehouse: the warehouse, without patience: a check never waits for another process.
    """

    def __init__(
        self,
        settings: Settings,
        mend: bool,
        instance: Callable[[], DagsterInstance],
        composed: Callable[[], Definitions],
        warehouse: Warehouse,
    ) -> None:
        self.settings = settings
        self.mend = mend
        self.warehouse = warehouse
        self._open_instance = instance
        self._compose = composed

    @cached_property
    def instance(self) -> DagsterInstance:
        """The Dagster instance."""
        try:
            return self._open_instance()
        except Exception as error:
            raise NotCheckedError(
                f"the Dagster instance does not open ({one_line(error)})"
            ) from error

    @cached_property
    def sources(self) -> SourcesConfig:
        """The configured sources."""
        return configured_sources(self.settings)

    @cached_property
    def composed(self) -> Definitions:
        """The definitions."""
        return self._compose()

    def close(self) -> None:
        """Close what was opened."""
        if "instance" in vars(self):
            self.instance.dispose()


Check = Callable[[Context], Iterator[Finding]]


def examine(context: Context, checks: Sequence[Check]) -> Iterator[Finding]:
    """The findings of all checks; one that breaks off is a finding, too."""
    for check in checks:
        name = check.__name__
        try:
            yield from check(context)
        except NotCheckedError as error:
            yield Finding(name, WARNING, f"Not checked: {error}.", "See the other lines.")
        except Exception as error:
            yield Finding(
                name,
                ERROR,
                f"Could not be checked: {one_line(error)}",
                "If other lines do not explain it, this is a fault of the check: report it.",
            )


def one_line(error: BaseException) -> str:
    """An error as one line, without a password that an address in it may have."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _PASSWORD.sub(r"\1:***@", lines[0])
