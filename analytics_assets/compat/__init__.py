"""What we use of libraries beyond their public API: each hook once, with its reason and its test.

Belongs here: imports of private modules and uses of private names of other packages. Does not
belong here: anything that a public API does. An upgrade that takes a hook away fails a test of
`analytics_assets_tests/compat`, not a run. Import the modules, not the package: `sklearn` is for
code that knows no Dagster.
"""
