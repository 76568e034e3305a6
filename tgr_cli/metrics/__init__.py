"""Metrics and their estimates: outcomes of faults, confidence intervals, ranges, Top2Diff, and summaries."""
