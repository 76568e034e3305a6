"""A campaign from its settings to its figures: what the commands that run or read campaigns share."""
