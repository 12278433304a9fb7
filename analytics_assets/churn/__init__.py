"""The churn model: functions from data frames to models and predictions.

Belongs here: training, evaluation, scoring and the registry. Does not belong here: Dagster, SQL, or
the features, which dbt computes as of a date, in the same way for training and for scoring.
"""
