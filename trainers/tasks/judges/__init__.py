"""Metrics of the tasks, with what their intervals resample."""
