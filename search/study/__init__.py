"""The loop of a study: ask, measure, train, promote, record."""
