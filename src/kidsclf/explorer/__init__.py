"""A look at a finished run in a browser on the same machine."""
