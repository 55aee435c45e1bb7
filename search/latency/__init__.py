"""What a network costs on this device: exported, checked, timed, remembered.

::

    measure.py    one architecture to one Measurement: the chain of all the others
    parity.py     perturbed weights; does the export compute what eager computes?
    runtimes/     the table RUNTIMES: what loads and runs a network
    export.py     the table EXPORTERS: what turns a network into a file
    clock.py      times a step; knows nothing of networks
    pace.py       how fast the core is just now, for the clock
    memory.py     peak memory of an artifact, in a process of its own
    energy.py     energy of an image, from the device's own counters
    device.py     the fingerprint of this machine, and its cores
    table.py      what was measured before, on this and other devices

Only what loads, exports or compares a network imports torch, and does so when it is called:
the names of the tables, the fingerprint and the remembered measurements are cheap to read.
"""
