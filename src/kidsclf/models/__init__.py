"""The networks, their files and their descriptions."""
