"""Reports, plots and tables."""
