"""The HTTP API: reads the published build, and is made from the declared tables.

Belongs here: requests, answers, and who may ask for what. Does not belong here: what a table looks
like (`schemas`), how a build is made or opened (`warehouse`), or the maths of scores (`churn`).
"""
