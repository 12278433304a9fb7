"""What every table looks like: one Pandera model a table, a module a layer.

From these come the Dagster type, the blocking check, the column schema and the DDL; nothing else
says what a table looks like.
"""

from analytics_assets.schemas import churn, core, marts, quality, raw, staging  # noqa: F401  (register)
from analytics_assets.schemas.base import TABLES, Table

__all__ = ["TABLES", "Table"]
