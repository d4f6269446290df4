"""Directories on the server that are used in place as datasets."""
