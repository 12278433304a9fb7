"""Customer analytics as a graph of Dagster assets."""
