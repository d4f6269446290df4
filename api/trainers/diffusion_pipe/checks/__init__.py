"""Checks of training requests."""
