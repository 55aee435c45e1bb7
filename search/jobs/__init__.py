"""The functions that perform the jobs of workers."""
