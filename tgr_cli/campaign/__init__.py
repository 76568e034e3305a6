"""A campaign from its settings to its results: the code shared by commands that run or read campaigns."""
