"""Sources: what a team must supply (contract), how it maps, how it is read, and the sample."""
