"""The page of the service: templates, what a browser loads for them, and their data as columns."""
