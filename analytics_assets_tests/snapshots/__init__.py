"""The graph of two configurations as text (`write`)."""
