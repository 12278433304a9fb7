"""Models, their scores, and what became of them, as assets."""
