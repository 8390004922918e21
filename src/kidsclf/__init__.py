"""Classify the sources of big astronomical survey catalogues on a Dask cluster."""

__version__ = "0.1.0"
