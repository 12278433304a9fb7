"""What is wrong with a home, and mending what is safe: a small function for each question.

Belongs here: the checks of `analytics-assets doctor`. Does not belong here: what a terminal prints
(`cli.doctor`), or checks of the data (`checks`).
"""
