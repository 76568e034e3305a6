"""Checks of a command's inputs before torch is loaded; everything that is missing is reported at once."""
