"""Trainings after the search: members of a front in full, and trials again."""
