"""The declarations of all tables: one Pandera model for each table, one module for each layer.

The Dagster types, schema checks, column descriptions, dbt YAML and DDL are generated from them.
"""

from analytics_assets.schemas import (  # noqa: F401  (register)
    churn,
    core,
    explained,
    growth,
    marts,
    quality,
    raw,
    repeat,
    staging,
)
from analytics_assets.schemas.base import TABLES, Table

__all__ = ["TABLES", "Table"]
