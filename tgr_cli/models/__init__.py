"""Classifiers: their sources, their weights, and the text-guided head."""
