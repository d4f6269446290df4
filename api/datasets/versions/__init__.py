"""Versions: references to them, splits, exports and imports."""
