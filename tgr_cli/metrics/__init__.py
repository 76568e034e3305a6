"""What is counted and estimated: outcomes of faults, intervals, ranges, Top2Diff, and their summaries."""
