"""The stages: read, compute, write."""
