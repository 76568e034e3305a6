"""Images with labels from named data sets, folders and Parquet files, and how they become a network's input."""
