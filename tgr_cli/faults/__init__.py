"""Faults: bit flips on values, the sites of a network, the plan of a campaign, and the engines that run it."""
