"""Comparisons of trainings."""
