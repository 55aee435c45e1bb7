"""The Pareto front of accuracy against latency for your images on your device.

``search``, ``trainers`` and ``conf`` are links to the folders beside this one, so that a checkout,
an installed wheel, linters and editors all see one package of one name.
"""
