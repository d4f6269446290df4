"""Small pieces used by more than one layer."""
