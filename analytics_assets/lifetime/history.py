"""The columns that hold a customer's purchase history.

Belongs here: their names. Does not belong here: the models that read them (`purchases`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Purchases:
    """Columns that hold a customer's purchase history, for the models that count purchases.

    Attributes:
        days: Number of days with a purchase, at least 1.
        tenure: Days from the first purchase to the as-of date.
        silence: Days from the last purchase to the as-of date.
        amount: Money of all purchases.

    """

    days: str
    tenure: str
    silence: str
    amount: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The four columns."""
        return (self.days, self.tenure, self.silence, self.amount)
