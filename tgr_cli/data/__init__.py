"""Labelled images from named data sets, folders and Parquet files, and their preprocessing into network inputs."""
