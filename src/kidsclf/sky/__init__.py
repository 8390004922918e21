"""Spherical geometry: partitions, adaptive splitting, margins."""
