"""The front: Pareto masks, intervals, hypervolume, what rungs let expect."""
