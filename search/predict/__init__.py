"""An exported model put to use: read, checked, opened, run. Without torch where it can be.

::

    manifest.py   what an export says of itself: manifest.json, and whether its files are intact
    signature.py  whether this user made an export
    foreign.py    what an export of somebody else may be: no program, and of a bounded size
    openers.py    from a file to a network that runs, by the library that the format needs
    isolated.py   the same in a process of its own, with limits, for exports of someone else
    predictor.py  from images to the outputs of the network
    answer.py     from outputs to what a person asks for, by task
    draw.py       the answer as a picture
    served.py     the same behind MLflow's pyfunc
"""
