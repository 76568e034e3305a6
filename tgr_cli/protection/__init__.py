"""Selective protection: what to guard, chosen from the rows of a campaign, and how much it catches for which cost."""
