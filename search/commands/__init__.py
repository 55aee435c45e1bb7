"""Verbs of the command with a file of their own: ``add_arguments`` and ``call``."""
