"""Trainings after the search: members in full, trials again."""
