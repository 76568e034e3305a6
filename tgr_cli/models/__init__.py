"""The classifiers: where each comes from, how its weights are read, and the text-guided head."""
