"""Sweeps: one request with several values."""
