"""The configuration of a study: composed from yaml files and overrides, then checked."""
