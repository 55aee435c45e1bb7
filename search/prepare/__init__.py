"""From a configuration to everything that a study needs."""
