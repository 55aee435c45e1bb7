"""The verbs of the command, one file each.

``commands/<verb>.py`` holds ``add_arguments(parser)``, which says what the verb takes, and
``call(arguments)``, which does it, prints and returns the exit status. ``search/cli.py`` lists the
verbs and imports the one that is used. What a verb does beside reading its arguments and printing
is a function of the same file, for programs that do the same.
"""
