"""The settings of the API, the dashboards and what is sent out, a part of all settings.

Belongs here: the limits of the API, the tokens that it accepts, where the dashboards are, and where
features and changed customers go. Does not belong here: how a setting is read (`settings`), or its
rules (`setting_rules`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from analytics_assets.setting_rules import (
    A_FILE,
    DASHBOARDS,
    FOLDER,
    JWKS,
    MEMORY,
    ORIGINS,
    POSTGRES,
    REDIS,
    TEXT,
    WEBHOOK,
    Setting,
    number,
    whole,
)


@dataclass(frozen=True)
class ApiSettings:
    """Settings of what readers ask."""

    api_rate: Annotated[
        int, Setting("6000", "requests a minute of a key or token; 0 for no limit", whole(0))
    ]
    api_page_rows: Annotated[int, Setting("10000", "most rows of a page of the API", whole(1))]
    api_query_seconds: Annotated[
        float, Setting("10", "seconds after which a query of the API is cancelled", number())
    ]
    api_answer_mb: Annotated[int, Setting("50", "most megabytes of an answer of the API", whole(1))]
    api_memory: Annotated[
        str, Setting("128MB", "memory of DuckDB for each build that the API has open", MEMORY)
    ]
    api_cors: Annotated[
        tuple[str, ...] | None,
        Setting(None, "origins of web pages that may ask the API, separated by commas", ORIGINS),
    ]
    api_oidc_issuer: Annotated[
        str | None, Setting(None, "issuer of tokens that the API accepts", TEXT)
    ]
    api_oidc_audience: Annotated[
        str | None, Setting(None, "audience that these tokens are for", TEXT)
    ]
    api_oidc_jwks: Annotated[
        str | None,
        Setting(None, "the issuer's public keys: an https:// address or a file (JWKS)", JWKS),
    ]
    feature_days: Annotated[
        int, Setting("3", "days that a customer's features are valid from as_of on", whole(1))
    ]
    features_redis_url: Annotated[
        str | None,
        Setting(None, "Redis that feature_lookup writes features to", REDIS, secret=True),
    ] = field(repr=False)
    activation_webhook_url: Annotated[
        str | None,
        Setting(None, "webhook that takes customers who changed", WEBHOOK, secret=True),
    ] = field(repr=False)
    activation_folder: Annotated[
        Path | None, Setting(None, "folder for CSV files of customers who changed", FOLDER)
    ]
    activation_postgres_url: Annotated[
        str | None,
        Setting(
            None,
            "PostgreSQL with the table of customers, as postgresql://user@host/database",
            POSTGRES,
            secret=True,
        ),
    ] = field(repr=False)
    activation_excluded: Annotated[
        Path | None,
        Setting(None, "file with customers of whom nothing is sent, an ID a line", A_FILE),
    ]
    dashboards_url: Annotated[
        str | None,
        Setting(None, "address of the dashboards, for links from published_warehouse", DASHBOARDS),
    ]
