"""Datasets, versions, items and uploads in the database."""
