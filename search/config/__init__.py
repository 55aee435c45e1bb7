"""From words and yaml files to one checked configuration."""
