"""What ``import archfront`` gives to programs and notebooks, over the calls that the verbs make.

::

    run_study.py       run: a study from words or a mapping, with its progress
    study_handle.py    open, and Study: front, plot, report, refit, export
    member_handle.py   Member: predictions of a trained candidate, its export
    profile_handle.py  profile, and Profile: what a dataset is like and what is wrong with it
    export_call.py     an export asked for by keywords
    client.py          Client: the same on a server of archfront serve
    keywords.py        from Python values to the words and options of the command
"""
