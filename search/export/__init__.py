"""A trained member as files that are deployed: written, scored, measured, described.

::

    export_request.py  what an export is asked for, and whether it can be done
    ship.py            one member to one folder with all of it
    scoring.py         the metrics and the latency of an artifact, in its own runtime
    packed.py          writes MLflow's pyfunc around the ONNX file
    variant_request.py which variants of a member are requested
    make_variants.py   members at other sizes, runtimes and precisions
    card.py            the model card and the note on licenses
    licences.py        the license of a backbone's first weights
    snippets.py        20 lines of Python for each format, without this package
    rendering.py       fills the templates of the last three: templates/
"""
