"""Tools that look at a dataset before a run is spent on it."""
