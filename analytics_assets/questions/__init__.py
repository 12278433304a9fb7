"""Questions to the published build that both the API and the dashboards ask.

Belongs here: SQL over the published tables, and its rows by name. Does not belong here: how an
answer is written (`api`) or drawn (`dashboards`).
"""

from typing import Any

Records = list[dict[str, Any]]
