"""Rules: what follows from the data for the options that the configuration leaves open."""
