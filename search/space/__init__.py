"""The space of candidates, its axes, its sizes and descriptors."""
