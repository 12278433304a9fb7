"""The warehouse: the connection owner, window replacement, the IO manager, publishing."""
