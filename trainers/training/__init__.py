"""Lightning runs: proxy and full trainings, precision, memory."""
