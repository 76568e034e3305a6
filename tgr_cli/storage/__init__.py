"""Stores outside this machine, such as S3 buckets, by fsspec: paths in them, and what each of them guarantees."""
