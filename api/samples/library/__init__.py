"""Samples of the versions in the library."""
