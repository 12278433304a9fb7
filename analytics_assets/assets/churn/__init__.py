"""Churn models, their scores, and the performance of past scores, as assets."""
