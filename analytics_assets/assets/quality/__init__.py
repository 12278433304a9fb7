"""Ledgers and pages of quality as assets."""
