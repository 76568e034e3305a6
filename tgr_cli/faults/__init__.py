"""Faults: how a value is struck, where a network can be struck, which faults a campaign draws, and who runs them."""
