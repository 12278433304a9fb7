"""Alerts: rules as data, what they look at, and incidents that people are told of once."""
