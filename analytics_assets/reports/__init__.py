"""What people look at: plots, cards, pages. No Dagster assets."""
