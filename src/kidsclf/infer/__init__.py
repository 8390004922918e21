"""Apply a network to sources."""
