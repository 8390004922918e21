"""Morphology without models: batched kernels, the table of features, and how to measure it."""
