"""Uses of private APIs of other packages, each with its reason and its test.

Belongs here: imports of private modules and private names. Does not belong here: anything that a
public API does. An upgrade that removes a hook fails a test of `analytics_assets_tests/compat`, not
a run. Import the modules, not the package: `sklearn` is for code without Dagster.
"""
