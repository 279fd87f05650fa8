"""The doors at which Jupyter comes in."""
