"""Churn mathematics: pure functions from data frames to data frames and models.

Here: training, evaluation and scoring. Not here: Dagster, SQL, files, or the features
themselves, which dbt computes as of a date, the same for training and for scoring.
"""
