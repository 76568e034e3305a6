"""Sampling schemes for the faults of a campaign; random numbers are keyed by seed, site name and fault number."""

SCHEMES = ("importance", "stratified", "uniform")
