"""Every path and format on disk."""
