"""The door to Dask clusters."""
