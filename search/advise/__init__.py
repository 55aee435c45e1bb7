"""Advice before any training: the expected front, and the latencies of a space."""
