"""A starting configuration: recognised, tried on the files, and written with its reasons."""
