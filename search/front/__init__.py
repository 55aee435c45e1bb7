"""The front: Pareto masks, intervals, hypervolume, extrapolation from rungs."""
