"""Fit a network to a sample."""
