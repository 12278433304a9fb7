"""Purchases and their value.

Belongs here: BG/NBD, Gamma-Gamma and lifetime value. Does not belong here: Dagster, or the churn
model.
"""
