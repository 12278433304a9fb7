"""Asset declarations, one module for each group of the graph."""
