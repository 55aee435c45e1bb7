"""Vision and training: data, backbones, tasks, short runs; knows nothing of the search."""
