"""What tgr writes and reads: schemas, files that are whole or absent, and where they came from."""
