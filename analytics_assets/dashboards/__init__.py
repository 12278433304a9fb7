"""Dashboards over the published build, for people.

Belongs here: pages that are read-only over one build. Does not belong here: SQL (`questions`), or
what programs read (`api`).
"""
