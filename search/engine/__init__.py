"""Engines, which run jobs: in this process, in persistent workers, or on a cluster's nodes.

Their table is ``engines.py``, which a worker does not import: it needs none of the engines.
"""
