"""What papers published, to set up their experiments and to read measurements beside theirs."""
