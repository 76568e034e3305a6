"""Ways to draw the faults of a campaign. Every draw is keyed by the seed, the site's name and the fault's number."""

SCHEMES = ("importance", "stratified", "uniform")
