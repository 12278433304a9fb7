"""Purchases and their value: BG/NBD, Gamma-Gamma, lifetime value. No Dagster, no churn model."""
