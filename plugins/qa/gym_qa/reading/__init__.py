"""Rows of files: CSV, TSV, JSON, JSON lines, Parquet, data sets of the Hugging Face hub."""
