"""The profile of a dataset: what a choice of architecture depends on, and its faults."""
