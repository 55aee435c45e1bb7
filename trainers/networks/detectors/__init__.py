"""Networks that find objects: necks, heads, and the choice among what they find.

Every detector is a module with two ways through it: ``losses(images, targets)`` while it is
trained, and ``forward(images)``, which gives the outputs of its task, in their order.
"""
