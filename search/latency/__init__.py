"""The costs of a network on a device: measured, remembered, predicted.

::

    measure.py      one architecture to one Measurement: the chain of all the others
    network.py      the network of an architecture, with its images
    instruments.py  time, memory, energy and throughput of a loaded network
    clock.py        times a step; knows nothing of networks
    pace.py         the pace of the core, for the clock
    memory.py       peak memory of an artifact, in a process of its own
    energy.py       energy of an image, from the device's own counters
    key.py          the settings of a measurement, and its key
    device.py       the fingerprint of this machine, and its cores
    database.py     the remembered measurements, of this and other devices
    transfer.py     the same as CSV files; csv_columns.py their columns
    lookup.py       the costs that are known before a job is submitted
    predicted.py    the model that predicts latencies; expect.py keeps it up to date

Only what builds, exports or compares a network imports torch, and does so when it is called: the
settings, the fingerprint and the remembered measurements are cheap to read.
"""
