"""What other systems get of a published build: features by customer, and rows that changed.

Belongs here: stores and messages, without Dagster. Does not belong here: the API (`api`), which
answers who asks, or the assets that publish (`assets`).
"""
