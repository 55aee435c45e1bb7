"""A trained member as files that are deployed: written, scored, measured, described.

::

    members.py     knee, fastest, best or an id to the trained candidate with its weights
    source.py      the trained network with everything that the formats are made from
    formats.py     the table FORMATS: what there is and what can refuse
    graphs.py      writes ONNX, OpenVINO, TorchScript, torch.export and their int8
    packed.py      writes MLflow's pyfunc around the ONNX file; registry.py its versions
    judged.py      an artifact over a split, and timed, in its own runtime
    order.py       what is asked for, and whether it can be done
    ship.py        one member to one folder with all of it
    card.py        the model card and the note on licences
    snippets.py    20 lines of Python for each format, without this package
"""
