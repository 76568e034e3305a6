"""One file a command: a frozen, keyword-only config that is checked when built, and `run`, which does the work."""
