"""The files that tgr writes and reads: schemas, atomic writes and provenance."""
