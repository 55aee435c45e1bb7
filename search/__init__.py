"""The search: from a configuration to a Pareto front. Importing this costs nothing."""
