"""One file per command: a frozen, keyword-only config, validated when built, and `run`, which does the work."""
